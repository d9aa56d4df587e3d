//! Going on with a run: as what it was, from anywhere, and with nothing changed unasked.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use vrft_tests::{Run, root, signal, vrft};

/// The program in another folder than the repository.
fn elsewhere(arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    Command::new(vrft()).args(arguments).current_dir(folder.path()).output().unwrap()
}

fn resume(run: &Run, more: &[&str]) -> Output {
    let out = run.out().display().to_string();
    elsewhere(&[&["run", "--no-build", "--resume", &out], more].concat())
}

#[track_caller]
fn ok(output: &Output) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
}

#[track_caller]
fn refused(output: &Output, words: &[&str]) {
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "it was accepted");
    for word in words {
        assert!(error.contains(word), "{word:?} is not in\n{error}");
    }
    // One error, said once.
    assert_eq!(error.matches("error: ").count(), 1, "{error}");
}

/// A supervised run, stopped after some steps.
fn stopped() -> Run {
    let run = Run::small().with_example("sft").set("learner.steps=60").set("evaluation.every=0");
    let mut running = run.start();
    running.await_text("metrics.jsonl", "\"step\":3,\"name\":\"policy/loss\"");
    signal(running.pid(), libc::SIGINT);
    let outcome = running.wait().ok();
    assert!(outcome.stdout.contains("Stopped."), "{}", outcome.stdout);
    run
}

#[test]
fn a_stopped_run_goes_on_as_what_it_was_from_any_folder() {
    let mut run = stopped();
    assert!(run.metric("learner", "policy/loss").len() < 60, "it was stopped too late");
    ok(&resume(&run, &[]));
    let nodes = run.lines("metrics.jsonl").into_iter().map(|line| line["node"].to_string());
    assert!(!nodes.into_iter().any(|node| node.contains("rollout")), "it went on as GRPO");
    let weights = run.final_weights("learner");
    run.again("undisturbed");
    run.finish().ok();
    assert!(weights == run.final_weights("learner"), "other weights after the resume");
}

#[test]
fn what_differs_from_the_start_is_refused_unless_it_is_meant() {
    let run = stopped();
    refused(
        &resume(&run, &["--set", "optimizer.learning_rate=0.5"]),
        &["optimizer.learning_rate", "0.5 now", "--with-changes"],
    );
    let graph = root().join("dataflow.yml").display().to_string();
    let out = run.out().display().to_string();
    refused(
        &elsewhere(&["run", &graph, "--no-build", "--resume", &out]),
        &["graph.nodes.rollout", "--with-changes"],
    );
    ok(&resume(&run, &["--set", "learner.steps=20", "--with-changes"]));
    assert_eq!(newest(&run).file_name().unwrap(), "step-000020");
}

#[test]
fn a_folder_holds_one_run_at_a_time() {
    let run = Run::small().set("learner.steps=40").set("evaluation.every=0");
    let mut running = run.start();
    running.await_step(1);
    refused(&resume(&run, &[]), &["a run is under way in", "process"]);
    signal(running.pid(), libc::SIGINT);
    running.wait().ok();
}

/// The newest checkpoint of the baseline.
fn newest(run: &Run) -> PathBuf {
    let entries = std::fs::read_dir(run.out().join("checkpoints/learner")).unwrap();
    let mut steps: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    steps.sort();
    steps.pop().unwrap()
}

/// Changes a byte in the middle of the weights.
fn damage(checkpoint: &Path) {
    let path = checkpoint.join("model.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
}

#[test]
fn a_damaged_checkpoint_is_never_taken_for_a_whole_one() {
    let run = Run::small().with_example("sft").set("evaluation.every=0");
    run.finish().ok();
    let weights = run.final_weights("learner");
    let checkpoint = newest(&run);
    damage(&checkpoint);
    let path = checkpoint.display().to_string();
    let limit = ["--set", "evaluation.limit=2"];
    let eval = |more: &[&str]| {
        Command::new(vrft())
            .args([&["eval", "--checkpoint", &path], &limit[..], more].concat())
            .current_dir(root())
            .output()
            .unwrap()
    };
    refused(&eval(&[]), &["model.safetensors\" is damaged: its SHA-256 should be"]);
    ok(&eval(&["--no-verify"]));
    // The one before it is intact: the last step is made again.
    ok(&resume(&run, &[]));
    assert!(weights == run.final_weights("learner"), "other weights after the damage");
    for entry in std::fs::read_dir(run.out().join("checkpoints/learner")).unwrap() {
        damage(&entry.unwrap().path());
    }
    refused(&resume(&run, &[]), &["checkpoints", "is intact", "--start-over"]);
    ok(&resume(&run, &["--start-over"]));
    assert!(weights == run.final_weights("learner"), "other weights after the start");
    assert!(run.out().join("checkpoints/learner.damaged").is_dir());
}

#[test]
fn data_that_changed_is_named() {
    let run = Run::small().with_example("sft").set("learner.steps=3").set("evaluation.every=0");
    let data = run.folder().join("shots.parquet");
    std::fs::copy(root().join("data/digits/shots.parquet"), &data).unwrap();
    let run = run.set(&format!("data.train={}", data.display()));
    run.finish().ok();
    std::fs::copy(root().join("data/digits/test.parquet"), &data).unwrap();
    refused(
        &resume(&run, &[]),
        &["shots.parquet has another content", "Restore it", "--with-changes"],
    );
}
