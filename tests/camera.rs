//! The camera graphs, run for real on a folder of pictures: what is kept, learned from and judged on.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::path::Path;

use vrft_dataset::Dataset;
use vrft_tests::{Run, root, signal};

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
    let mut running = run.start();
    running.await_step(2);
    signal(running.pid(), libc::SIGINT);
    running.wait().ok();
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
