//! The reward node, driven without dora.

use messages::{Completion, CompletionBatch, FinishReason, MetricBatch, RewardBatch};
use node::testing::Script;

use crate::terms::Terms;

const TRUTH: &str = "<answer>[{'Position': [100, 100, 300, 300], 'Confidence': 1}]</answer>";

fn completion(idx: u16, text: &str) -> Completion {
    Completion {
        prompt_id: 0,
        completion_idx: idx,
        policy_version: 0,
        token_ids: vec![1],
        logprobs: vec![-1.0],
        text: text.into(),
        finish_reason: FinishReason::Stop,
        seed: 0,
        task: "detection".into(),
        answer: TRUTH.into(),
    }
}

#[test]
fn a_right_answer_earns_more_than_a_wrong_one() {
    let right = format!("<think> there </think>{TRUTH}");
    let batch = CompletionBatch {
        completions: vec![completion(0, &right), completion(1, "I do not know")],
    };
    let (node, sent) = Script::new().message("groups", &batch).end("groups").node();
    super::run(node, &config::Config::default(), &Terms::parse("")).unwrap();
    let [rewards] = &sent.all::<RewardBatch>("rewards")[..] else { panic!("one batch") };
    let totals: Vec<f32> = rewards.rewards.iter().map(|row| row.reward.unwrap()).collect();
    assert!(totals[0] > 2.9 && totals[1] == 0.0, "{totals:?}");
    let metrics = &sent.all::<MetricBatch>("metrics")[0].metrics;
    assert!(metrics.iter().any(|m| m.name == "reward/iou/mean" && m.value == 0.5), "{metrics:?}");
    assert!(sent.ended("rewards"));
}

#[test]
fn ground_truth_that_cannot_be_read_stops_the_run() {
    let batch = CompletionBatch {
        completions: vec![Completion { answer: "no boxes here".into(), ..completion(0, "") }],
    };
    let (node, _sent) = Script::new().message("groups", &batch).end("groups").node();
    let error = super::run(node, &config::Config::default(), &Terms::parse("")).unwrap_err();
    assert!(format!("{error:#}").contains("ground truth of prompt 0"), "{error:#}");
}
