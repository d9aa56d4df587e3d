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

/// The step of the newest checkpoint, and the steps that there are lines about.
fn saved_and_told(run: &Run) -> (u64, Vec<u64>) {
    let newest = newest(run);
    let name = newest.file_name().unwrap().to_str().unwrap();
    let lines = run.lines("metrics.jsonl").into_iter();
    let losses = lines.filter(|line| line["name"] == "policy/loss");
    let told = losses.map(|line| line["step"].as_u64().unwrap()).collect();
    (name.strip_prefix("step-").unwrap().parse().unwrap(), told)
}

#[test]
fn a_stopped_run_has_a_line_for_each_step_that_it_saved() {
    let run = Run::small()
        .with_example("sft")
        .set("learner.steps=100000")
        .set("learner.checkpoint_every=0")
        .set("evaluation.every=0");
    let mut last = 0;
    for stop in 0..6 {
        let mut running = if stop == 0 { run.start() } else { run.start_again() };
        running.await_text(
            "metrics.jsonl",
            &format!("\"step\":{},\"name\":\"policy/loss\"", last + 2),
        );
        // At another moment of a step each time.
        std::thread::sleep(std::time::Duration::from_millis(23 * stop));
        signal(running.pid(), if stop % 2 == 0 { libc::SIGINT } else { libc::SIGTERM });
        running.wait().ok();
        let (saved, told) = saved_and_told(&run);
        assert_eq!(told, (1..=saved).collect::<Vec<u64>>(), "stop {stop}: step {saved} is saved");
        assert!(!run.out().join("last-metrics").exists());
        last = saved;
    }
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

/// Rows with pictures in files of their own, in a folder.
fn rows_with_pictures(folder: &Path) -> PathBuf {
    let photos = vrft_dataset::Dataset::open(&root().join("data/digits/test.parquet")).unwrap();
    let row = |n: usize| {
        let name = format!("{n}.png");
        std::fs::write(folder.join(&name), photos.get(n).pictures[0].bytes().unwrap()).unwrap();
        let problem =
            "Detect all objects belonging to the category 'handwritten digit' in the image.";
        let solution = "<answer>[{'Position': [100, 100, 300, 300], 'Confidence': 1}]</answer>";
        serde_json::json!({"image": name, "problem": problem, "solution": solution}).to_string()
    };
    let path = folder.join("rows.jsonl");
    std::fs::write(&path, (0..8).map(row).collect::<Vec<_>>().join("\n")).unwrap();
    path
}

#[test]
fn a_run_without_a_checkpoint_goes_on_only_with_what_it_began_with() {
    let run = Run::small().with_example("sft").set("learner.steps=400").set("evaluation.every=0");
    let run = run.set("learner.checkpoint_every=0").set("data.shots=0");
    let base = run.folder().join("base");
    std::fs::create_dir(&base).unwrap();
    for entry in std::fs::read_dir(root().join("data/starter")).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, base.join(path.file_name().unwrap())).unwrap();
    }
    let rows = rows_with_pictures(run.folder());
    let run = run
        .set(&format!("policy.path={}", base.display()))
        .set(&format!("data.train={}", rows.display()))
        .set("data.space=thousandths");
    let mut running = run.start();
    running.await_step(1);
    let learner = running.node_pid("vrft-learner", Some("sft")).unwrap();
    signal(learner, libc::SIGKILL);
    running.wait();
    assert!(!run.out().join("checkpoints/learner/step-000001").exists(), "there is a checkpoint");
    // Each change alone is named, and taken back.
    let changed = |path: &Path, change: &dyn Fn(&Path), words: &[&str]| {
        let before = std::fs::read(path).unwrap();
        change(path);
        refused(&resume(&run, &[]), &[words, &["--with-changes"]].concat());
        std::fs::write(path, before).unwrap();
    };
    let edit = |path: &Path| {
        let text = std::fs::read_to_string(path).unwrap();
        let (before, data) = text.split_once("\n[data]\n").unwrap();
        let data = data.replacen("space = \"thousandths\"", "space = \"pixels\"", 1);
        std::fs::write(path, format!("{before}\n[data]\n{data}")).unwrap();
    };
    let keys = ["config.toml: config.data.space: \"thousandths\" before, \"pixels\" now"];
    changed(&run.out().join("config.toml"), &edit, &keys);
    let other = run.folder().join("5.png");
    let replace = |path: &Path| {
        std::fs::copy(&other, path).unwrap();
    };
    changed(&run.folder().join("2.png"), &replace, &["2.png has another content"]);
    let weights = |path: &Path| {
        let mut bytes = std::fs::read(path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(path, bytes).unwrap();
    };
    let file = base.join("model.safetensors");
    changed(&file, &weights, &["model.safetensors has another content"]);
    ok(&resume(&run, &["--set", "learner.steps=2", "--with-changes"]));
}
