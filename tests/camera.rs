//! The camera graphs, run for real on a folder of pictures: what is kept, learned from and judged on.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use vrft_dataset::Dataset;
use vrft_tests::{Run, root, vrft};

/// Pictures of the repository's own data, as a camera's frames.
fn footage(folder: &Path) {
    let photos = Dataset::open(&root().join("data/digits/test.parquet")).unwrap();
    std::fs::create_dir(folder).unwrap();
    for n in 0..24 {
        let picture = photos.get(n).pictures[0].bytes().unwrap();
        std::fs::write(folder.join(format!("{n:02}.png")), picture).unwrap();
    }
}

/// A few steps of a camera graph; it begins as soon as there are a few frames.
fn run(graph: &str) -> Run {
    with_few_frames(Run::of(&root().join(format!("configs/{graph}.yml"))))
}

fn with_few_frames(run: Run) -> Run {
    let frames = run.folder().join("frames");
    footage(&frames);
    run.env("CAPTURE_PATH", &frames.display().to_string())
        .set("evaluation.limit=0")
        .set("evaluation.every=0")
        .set("data.stream.max_fps=0.0")
        .set("data.stream.min_frames=4")
        .set("data.stream.held_out=2")
        .set("data.stream.held_out_every=3")
        .set("data.stream.held_out_questions=4")
}

fn judged_on(run: &Run, label: &str) -> Vec<String> {
    let lines = run.lines(&format!("predictions-{label}.jsonl"));
    lines.iter().map(|line| line["sample_id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_policy_learns_from_frames_while_they_come() {
    let run = run("dataflow.camera");
    run.finish().ok();
    assert_eq!(run.metric("learner", "policy/loss").len(), 4);
    let of_loader = |name: &str| run.metric("loader", name).last().copied().unwrap();
    assert!(of_loader("stream/offered") >= 6.0);
    assert_eq!(of_loader("stream/held_out"), 2.0);
    assert_eq!(of_loader("stream/garbage"), 0.0);
    assert!(!run.metric("loader", "stream/frame_to_gradient_secs").is_empty());
    let evaluations = run.lines("evaluations.jsonl");
    let labels: Vec<&str> = evaluations.iter().map(|e| e["label"].as_str().unwrap()).collect();
    assert_eq!(labels, ["constant", "base", "rft"]);
    // Every answer is right as often as the others, so a constant one is right a quarter of the time.
    assert_eq!(evaluations[0]["metrics"]["accuracy"], 0.25);
    let report = std::fs::read_to_string(run.out().join("report.html")).unwrap();
    assert!(
        report.contains("best constant answer scores 0.250"),
        "the report does not speak of the constant"
    );
}

#[test]
fn a_resumed_run_is_judged_on_the_frames_that_it_was_judged_on() {
    let run = run("dataflow.camera");
    run.interrupt_after(2);
    let held_out = std::fs::read(run.out().join("held-out.arrow")).unwrap();
    let before = judged_on(&run, "base");
    assert_eq!(before.len(), 8);
    run.resume().ok();
    assert_eq!(run.metric("learner", "policy/loss").len(), 4);
    assert!(std::fs::read(run.out().join("held-out.arrow")).unwrap() == held_out);
    assert_eq!(judged_on(&run, "rft"), before);
}

#[test]
fn a_small_policy_is_first_shown_how_such_questions_are_answered() {
    let run = run("dataflow.camera-start");
    run.finish().ok();
    assert_eq!(run.metric("learner", "policy/loss").len(), 4);
    assert_eq!(judged_on(&run, "sft").len(), 8);
}

/// The graph with a teacher, its detector and maybe its person replaced by stand-ins.
fn with_teacher(has_person: bool) -> Run {
    let run = Run::of(&root().join("configs/dataflow.camera-teacher.yml"));
    let text = std::fs::read_to_string(root().join("configs/dataflow.camera-teacher.yml")).unwrap();
    let stand_in = "../target/release/vrft-teacher";
    let detector = "../nodes/loader/python/detector.py";
    assert!(text.contains(detector) && text.contains("path: dynamic"));
    let mut text = text.replace(detector, stand_in);
    if has_person {
        let person = format!(
            "path: {stand_in}\n    args: --person\n    inputs: {{image: {{source: camera/image, queue_size: 1}}}}"
        );
        text = text.replace("path: dynamic", &person);
    }
    let absolute = text.replace("../target", &root().join("target").display().to_string());
    let graph = run.folder().join("graph.yml");
    let config = root().join("configs/camera-teacher.toml");
    std::fs::write(&graph, absolute.replace("camera-teacher.toml", config.to_str().unwrap()))
        .unwrap();
    let starter = root().join("data/starter");
    with_few_frames(run.with_graph(&graph)).set(&format!("policy.path={starter:?}"))
}

#[test]
fn a_policy_learns_from_a_detectors_boxes_and_nobody_need_correct_them() {
    let run = with_teacher(false);
    run.finish().ok();
    assert_eq!(run.metric("learner", "policy/loss").len(), 4);
    assert_eq!(run.metric("loader", "stream/remarks").last(), Some(&0.0));
    assert!(!judged_on(&run, "rft").is_empty());
}

#[test]
fn what_a_person_says_is_kept_and_used() {
    let run = with_teacher(true);
    run.finish().ok();
    assert_eq!(run.metric("learner", "policy/loss").len(), 4);
    let n_remarks = run.metric("loader", "stream/remarks").last().copied().unwrap();
    let kept = run.lines("feedback.jsonl");
    assert!(n_remarks > 0.0 && kept.len() >= n_remarks as usize, "{n_remarks} of {}", kept.len());
    let said = |remark: &str| {
        kept.iter().filter(|line| line["remark"].to_string().contains(remark)).count()
    };
    assert!(said("reject") > 0 && said("edit") > 0, "{kept:?}");
}

#[test]
fn a_camera_without_a_source_is_one_error_and_nothing_starts() {
    let run = Run::of(&root().join("configs/dataflow.camera.yml")).env("CAPTURE_PATH", "");
    let outcome = run.finish().failed(&["\"camera\" (vrft-camera)", "CAPTURE_PATH", "a folder"]);
    assert!(outcome.stderr.lines().count() <= 3, "{}", outcome.stderr);
}

#[test]
fn a_source_that_is_not_there_ends_the_run_with_its_name() {
    let run = Run::of(&root().join("configs/dataflow.camera.yml")).env("CAPTURE_PATH", "no/frames");
    let start = std::time::Instant::now();
    let outcome = run.finish().failed(&["no/frames"]);
    assert!(start.elapsed().as_secs() < 60, "took {:?}", start.elapsed());
    assert!(outcome.stderr.lines().count() + outcome.stdout.lines().count() < 40, "{outcome:?}");
}

fn set<const N: usize>(words: [&str; N]) -> BTreeSet<String> {
    words.map(str::to_owned).into()
}

/// The sizes of the puzzles in the names of samples, as in `05-jigsaw-2x3-7`.
fn sizes<'a>(names: impl Iterator<Item = &'a str>, kind: &str) -> BTreeSet<String> {
    let of_name = |name: &str| Some(name.split_once(kind)?.1.split('-').nth(1)?.to_owned());
    names.filter_map(of_name).collect()
}

#[test]
fn puzzles_of_several_sizes_are_asked_while_frames_come_and_each_says_its_own() {
    let run = run("dataflow.camera")
        .set("data.stream.puzzles=[\"jigsaw\",\"patchfit\"]")
        .set("data.stream.jigsaws=[[2,2],[2,3],[3,3]]")
        .set("data.stream.decoys=[3,5]")
        .set("reward.preset=rewards/puzzles/mixed.toml")
        .set("learner.prompts_per_step=16")
        .set("rollout.group_size=2");
    run.finish().ok();
    let samples = run.lines("samples.jsonl");
    let names = || samples.iter().map(|line| line["sample_id"].as_str().unwrap());
    assert_eq!(sizes(names(), "jigsaw"), set(["2x2", "2x3", "3x3"]));
    assert_eq!(sizes(names(), "patchfit"), set(["4", "6"]));
}

/// From files: the same seed makes the same rows, each says its size, and they are learned from and judged on.
#[test]
fn puzzles_of_pictures_in_files_are_learned_from_and_judged_on() {
    let run = Run::of(&root().join("configs/rft.yml")).unset("data.shots");
    let folder = run.folder().to_owned();
    footage(&folder.join("photos"));
    let make = |out: &str, more: &[&str]| {
        let mut command = Command::new(vrft());
        command.arg("puzzles").arg(folder.join("photos")).arg("--out").arg(folder.join(out));
        command.args(more).output().unwrap()
    };
    let of_sizes = [
        "--kinds",
        "jigsaw,patchfit",
        "--jigsaws",
        "2x2,2x3,3x3",
        "--decoys",
        "3,5",
        "--seed",
        "3",
    ];
    for out in ["made", "again"] {
        let output = make(out, &of_sizes);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let rows = |out: &str, kind: &str| -> Vec<Value> {
        let text = ["train", "test"].map(|part| {
            std::fs::read_to_string(folder.join(out).join(format!("{kind}-{part}.jsonl"))).unwrap()
        });
        text.concat().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let sizes_of = |kind: &str| {
        let rows = rows("made", kind);
        assert!(rows.len() > 20, "{kind}: {}", rows.len());
        rows.iter().map(|row| row["size"].as_str().unwrap().to_owned()).collect::<BTreeSet<_>>()
    };
    assert_eq!(sizes_of("jigsaw"), set(["2x2", "2x3", "3x3"]));
    assert_eq!(sizes_of("patchfit"), set(["4", "6"]));
    for kind in ["jigsaw", "patchfit"] {
        assert_eq!(rows("made", kind), rows("again", kind));
        // What is judged on is about other pictures than what is learned from.
        let sources = |part: &str| -> BTreeSet<String> {
            let text = std::fs::read_to_string(folder.join(format!("made/{kind}-{part}.jsonl")));
            let text = text.unwrap();
            let rows = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
            rows.map(|row| row["source"].as_str().unwrap().to_owned()).collect()
        };
        assert!(sources("train").is_disjoint(&sources("test")) && !sources("test").is_empty());
    }
    let taken = make("made", &of_sizes);
    assert!(String::from_utf8_lossy(&taken.stderr).contains("is there already"));
    let source = |kind: &str| {
        let file = |part: &str| folder.join(format!("made/{kind}-{part}.jsonl"));
        let preset = root().join(format!("configs/rewards/puzzles/{kind}.toml"));
        format!(
            "[[data.sources]]\ntask = {kind:?}\ntrain = {:?}\ntest = {:?}\nreward = {{ preset = {preset:?} }}\n",
            file("train"),
            file("test")
        )
    };
    let text = format!(
        "[policy]\npath = {:?}\n[data]\n{}{}[reward]\npreset = {:?}\n[evaluation]\ntest = {:?}\n\
         [rollout]\nmax_completion_tokens = 24\n",
        root().join("data/starter"),
        source("jigsaw"),
        source("patchfit"),
        root().join("configs/rewards/puzzles/jigsaw.toml"),
        folder.join("made/jigsaw-test.jsonl"),
    );
    let config = folder.join("puzzles.toml");
    std::fs::write(&config, text).unwrap();
    let run = run.config(&config).set("learner.steps=2").set("learner.prompts_per_step=8");
    run.finish().ok();
    let lines = run.lines("metrics.jsonl");
    for name in ["task/jigsaw/reward/tiles/mean", "task/patchfit/reward/accuracy/mean"] {
        assert!(lines.iter().any(|line| line["name"] == name), "{name}");
    }
    let judged = run.lines("evaluations.jsonl");
    for label in ["rft@jigsaw", "rft@patchfit"] {
        let line = judged.iter().find(|line| line["label"] == label);
        assert!(line.unwrap()["metrics"]["accuracy"].as_f64().is_some(), "{label}");
    }
}
