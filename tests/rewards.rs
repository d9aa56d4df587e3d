//! `vrft reward` as a user runs it: test, score again, propose.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::process::{Command, Output};

use serde_json::Value;
use vrft_tests::{root, vrft};

const PRESET: &str = "configs/rewards/visual-rft/detection.toml";

fn reward(arguments: &[&str]) -> Output {
    Command::new(vrft()).arg("reward").args(arguments).current_dir(root()).output().unwrap()
}
fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}
fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn the_default_run_and_its_data_pass() {
    for (config, data) in [
        ("configs/default.toml", "data/scenes/shifted-ground-shots.jsonl"),
        ("tests/digits.toml", "data/digits/shots.parquet"),
    ] {
        let output = reward(&["test", config, "--data", data]);
        assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
        assert!(stdout(&output).contains("checks hold"), "{}", stdout(&output));
    }
}

#[test]
fn the_declaration_of_the_guide_passes() {
    let guide = std::fs::read_to_string(root().join("docs/src/rewards.md")).unwrap();
    let (_, rest) = guide.split_once("```toml\n").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("parking.toml");
    std::fs::write(&file, rest.split_once("```").unwrap().0).unwrap();
    let output = reward(&["test", file.to_str().unwrap()]);
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
}

#[test]
fn the_official_rules_fail_by_name() {
    let output = reward(&["test", PRESET, "--set", "reward.mode=compat", "--json"]);
    assert!(!output.status.success());
    assert!(stderr(&output).contains("trick: first coordinate only"), "{}", stderr(&output));
    let report: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(
        (report["task"].as_str(), report["mode"].as_str()),
        (Some("detection"), Some("compat"))
    );
}

#[test]
fn completions_are_scored_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("completions.jsonl");
    let row = |answer: &str| {
        let solution = "[{'Position': [0, 0, 100, 100], 'Confidence': 1}]";
        serde_json::json!({"completion": format!("<think>a</think><answer>{answer}</answer>"), "solution": solution})
    };
    let half = row("[{'Position': [0, 0, 100, 80], 'Confidence': 0.5}]");
    std::fs::write(&file, format!("{half}\n{}\n", row("No Objects"))).unwrap();
    let output = reward(&["score", PRESET, file.to_str().unwrap()]);
    let lines: Vec<Value> =
        stdout(&output).lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let rewards: Vec<_> = lines.iter().map(|line| line["reward"].as_f64()).collect();
    assert_eq!(rewards, [Some(0.8 + 0.5 + 1.0), Some(1.0), None], "{lines:?}");
    assert_eq!(lines[2]["n"], 2);

    std::fs::write(&file, "{\"completion\": \"a\"}\n").unwrap();
    let error = stderr(&reward(&["score", PRESET, file.to_str().unwrap()]));
    assert!(error.contains("line 1") && error.contains("solution"), "{error}");
}

#[test]
fn corrections_are_scored_with_what_they_correct() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("turns.jsonl");
    let say = |answer: &str| format!("<think>a</think><answer>{answer}</answer>");
    let gold = "[{'Position': [0, 0, 100, 100], 'Confidence': 1}]";
    let row = |first: &str, second: &str| serde_json::json!({"first": say(first), "completion": say(second), "solution": gold});
    let rows = format!("{}\n{}\n", row("No Objects", gold), row(gold, "No Objects"));
    std::fs::write(&file, rows).unwrap();
    let spec = "configs/rewards/self-correction.toml";
    let output = reward(&["score", spec, file.to_str().unwrap()]);
    let lines: Vec<Value> =
        stdout(&output).lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines[0]["rewards"], serde_json::json!([1.0 + 1.5, 3.0 + 2.0]));
    assert_eq!(lines[1]["rewards"], serde_json::json!([3.0 + 0.5, 1.0 - 2.0]));
    assert_eq!((&lines[2]["mended"], &lines[2]["spoiled"]), (&0.5.into(), &0.5.into()));
}

#[test]
fn what_is_proposed_from_data_can_be_used() {
    let output = reward(&["infer", "data/digits/shots.parquet"]);
    let text = stdout(&output);
    assert!(output.status.success(), "{text}{}", stderr(&output));
    let config: vrft_reward::config::RewardConfig =
        vrft_config::Document::parse(&text, "proposed").unwrap().section().unwrap();
    assert_eq!(config.answer.kind.name(), "boxes");
    assert_eq!(config.answer.place_key(), Some("Position"));
}
