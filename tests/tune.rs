//! `vrft tune`: trials of a graph, found again, refused and ended early.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use vrft_tests::{alone, root, vrft};

/// Two rungs of one and two steps, on as little as there is.
const SMALL: [&str; 12] = [
    "learner.steps=2",
    "learner.prompts_per_step=2",
    "rollout.group_size=4",
    "data.shots=4",
    "evaluation.limit=4",
    "evaluation.validation=\"data/digits/starter.parquet\"",
    "tune.trials=3",
    "tune.eta=2",
    "tune.rungs=2",
    "tune.metric=\"reward\"",
    "tune.max_kl=100.0",
    "tune.space={\"optimizer.learning_rate\"={low=1e-6,high=1e-3,log=true},\"loss.kl_coef\"=[0.0,0.04]}",
];

fn tune(out: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(vrft());
    command.args(["tune", "tests/digits.toml", "--no-build", "--out"]).arg(out);
    for assignment in SMALL {
        command.args(["--set", assignment]);
    }
    command.args(more).current_dir(root()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn trials_are_run_found_again_and_end_in_a_configuration_that_runs() {
    let _guard = alone();
    let folder = tempfile::tempdir().unwrap();
    let first = tune(folder.path(), &[]);
    let said = text(&first.stdout) + &text(&first.stderr);
    assert!(first.status.success(), "{said}");
    let out = folder.path().join("digits");
    let read = |name: &str| std::fs::read_to_string(out.join(name)).unwrap();
    let tuned: Value = serde_json::from_str(&read("tune.json")).unwrap();
    let trials = tuned["trials"].as_array().unwrap();
    let steps = |trial: &Value| -> Vec<u64> {
        let rungs = trial["rungs"].as_array().unwrap();
        rungs.iter().map(|rung| rung["steps"].as_u64().unwrap()).collect()
    };
    // Two of three go on: the configuration as it is, and the better of the others.
    assert_eq!(steps(&trials[0]), [1, 2]);
    let others = [steps(&trials[1]), steps(&trials[2])];
    assert!(others.contains(&vec![1]) && others.contains(&vec![1, 2]), "{others:?}");
    assert!(tuned["base"].as_f64().is_some(), "{tuned}");
    assert!(read("tune.html").contains("loss.kl_coef") && read("tune.md").contains("(best)"));
    // What is reported on was not looked at.
    let config = std::fs::read_to_string(out.join("trial-00-steps-2/config.toml")).unwrap();
    assert!(config.contains("starter.parquet") && !config.contains("test.parquet"), "{config}");
    let best = read("best.toml");
    assert!(best.starts_with("# ") && best.contains("test.parquet"), "{best}");

    let metrics = out.join("trial-00-steps-2/metrics.jsonl");
    let before = std::fs::metadata(&metrics).unwrap().modified().unwrap();
    let again = tune(folder.path(), &[]);
    assert!(again.status.success(), "{}", text(&again.stderr));
    assert!(!text(&again.stdout).contains("Trial 0, "), "nothing is run twice");
    assert_eq!(std::fs::metadata(&metrics).unwrap().modified().unwrap(), before);

    let other = tune(folder.path(), &["--set", "rollout.max_completion_tokens=30"]);
    assert!(!other.status.success());
    assert!(text(&other.stderr).contains("was run with other settings"), "{}", text(&other.stderr));

    let checked = Command::new(vrft())
        .args(["check", "--config"])
        .arg(out.join("best.toml"))
        .current_dir(root())
        .output()
        .unwrap();
    assert!(checked.status.success(), "{}", text(&checked.stderr));
}

#[test]
fn a_trial_whose_kl_explodes_goes_no_further() {
    let _guard = alone();
    let folder = tempfile::tempdir().unwrap();
    let ended = tune(
        folder.path(),
        &[
            "--set",
            "learner.steps=12",
            "--set",
            "tune.trials=2",
            "--set",
            "tune.max_kl=0.001",
            "--set",
            "tune.space={\"optimizer.learning_rate\"=[0.02]}",
        ],
    );
    assert!(ended.status.success(), "{}{}", text(&ended.stdout), text(&ended.stderr));
    let json = std::fs::read_to_string(folder.path().join("digits/tune.json")).unwrap();
    let tuned: Value = serde_json::from_str(&json).unwrap();
    let rung = &tuned["trials"][1]["rungs"][0];
    assert!(rung["value"].is_null(), "{tuned}");
    assert!(rung["ended"].as_str().unwrap().contains("tune.max_kl = 0.001"), "{tuned}");
    assert_eq!(tuned["trials"][1]["rungs"].as_array().unwrap().len(), 1);
    assert_eq!(tuned["chosen"], 0);
}

#[test]
fn a_dry_run_says_what_would_be_tried_and_what_is_missing_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let dry = tune(folder.path(), &["--dry-run"]);
    let said = text(&dry.stdout);
    assert!(dry.status.success(), "{}", text(&dry.stderr));
    for words in
        ["3 trials of 1 steps", "2 trials of 2 steps", "trial 0: the configuration as it is"]
    {
        assert!(said.contains(words), "{said}");
    }
    assert!(!folder.path().join("digits").exists());
    let refused = |assignment: &str, words: &str| {
        let output = tune(folder.path(), &["--dry-run", "--set", assignment]);
        assert!(!output.status.success());
        assert!(text(&output.stderr).contains(words), "{}", text(&output.stderr));
    };
    refused("tune.rungs=5", "the first would have no step");
    refused("evaluation.validation=\"data/digits/test.parquet\"", "expected other rows than");
    refused("evaluation.validation=\"data/nowhere.parquet\"", "evaluation.validation");
    let gone = folder.path().join("gone.jsonl");
    std::fs::write(
        &gone,
        r#"{"image": "gone.png", "problem": "Where?", "solution": "No Objects"}"#,
    )
    .unwrap();
    refused(&format!("evaluation.validation={:?}", gone), "evaluation.validation");
    refused(&format!("data.train={:?}", gone), "gone.png");
    refused("tune.space={\"loss.kl_coeff\"=[0.1]}", "kl_coeff");
    let mut command = Command::new(vrft());
    let plain = command.args(["tune", "tests/digits.toml", "--dry-run"]).current_dir(root());
    assert!(text(&plain.output().unwrap().stderr).contains("evaluation.validation: tune chooses"));
}
