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
    let run = Run::of(&root().join(format!("configs/{graph}.yml")));
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
