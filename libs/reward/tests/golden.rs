//! Presets against values that were computed in Python: TRL's own functions, and references written from the papers.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use vrft_config::Document;
use vrft_reward::{Attempt, Reward};

/// Values are sums and quotients of a few numbers in f64 on both sides.
const TOLERANCE: f64 = 1e-9;

fn rewards_for(preset: &str, overrides: &[String]) -> Reward {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/rewards");
    let document = Document::load(&folder.join(preset), overrides).unwrap();
    Reward::new(&document.section().unwrap())
}

/// A list of tokens, or how many there are.
fn token_ids(case: &Value) -> Option<Vec<u32>> {
    match &case["tokens"] {
        Value::Number(n) => Some(vec![0; n.as_u64().unwrap() as usize]),
        Value::Array(ids) => Some(ids.iter().map(|id| id.as_u64().unwrap() as u32).collect()),
        _ => None,
    }
}

#[track_caller]
fn check(json: &str, least: usize) {
    let cases: Vec<Value> = serde_json::from_str(json).unwrap();
    assert!(cases.len() >= least, "{}", cases.len());
    let mut rewards: BTreeMap<String, Reward> = BTreeMap::new();
    let mut wrong = Vec::new();
    for case in &cases {
        let overrides: Vec<String> = serde_json::from_value(case["set"].clone()).unwrap();
        let preset = case["preset"].as_str().unwrap();
        let reward = rewards
            .entry(format!("{preset} {overrides:?}"))
            .or_insert_with(|| rewards_for(preset, &overrides));
        let truth = reward.parse_answer(case["solution"].as_str().unwrap()).unwrap();
        let ids = token_ids(case);
        let attempt = Attempt {
            text: case["completion"].as_str().unwrap(),
            token_ids: ids.as_deref(),
            progress: case["progress"].as_f64().unwrap(),
        };
        let score = reward.score_attempt(&attempt, &truth);
        for (name, expect) in case["terms"].as_object().unwrap() {
            let (got, expect) = (score.term(name).unwrap(), expect.as_f64().unwrap());
            if (got - expect).abs() > TOLERANCE {
                wrong.push(format!("{name} is {got}, not {expect}: {case}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn visual_rft_in_three_modes() {
    check(include_str!("golden/visual_rft.json"), 500);
}
#[test]
fn trl_s_reward_library() {
    check(include_str!("golden/trl.json"), 50);
}
#[test]
fn the_other_tasks() {
    check(include_str!("golden/tasks.json"), 150);
}
#[test]
fn statements_in_the_thinking() {
    check(include_str!("golden/stepwise.json"), 65);
}

#[test]
fn an_answer_and_its_correction() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("golden/correction.json")).unwrap();
    assert!(cases.len() >= 60);
    for case in &cases {
        let set = |key: &str| format!("reward.correction.{key}={}", case[key].as_f64().unwrap());
        let reward = rewards_for("self-correction.toml", &[set("alpha"), set("gamma")]);
        let truth = reward.parse_answer(case["solution"].as_str().unwrap()).unwrap();
        let turn = |idx: usize| Attempt::new(case["turns"][idx].as_str().unwrap());
        let rewards = reward.score_turns([turn(0), turn(1)], &truth).rewards.unwrap();
        for (idx, got) in rewards.into_iter().enumerate() {
            let expect = case["rewards"][idx].as_f64().unwrap();
            assert!((got - expect).abs() < TOLERANCE, "turn {idx} earns {got}: {case}");
        }
    }
}
