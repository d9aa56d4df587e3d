//! The reward node, driven without dora.

use vrft_messages::{Completion, CompletionBatch, CompletionRow, FinishReason, RewardBatch};
use vrft_node::testing::Script;

use crate::Config;
use crate::ports::PORTS;
use crate::terms::Terms;

const TRUTH: &str = "<answer>[{'Position': [100, 100, 300, 300], 'Confidence': 1}]</answer>";

fn row(completion_idx: u16, text: &str) -> CompletionRow {
    let completion = Completion {
        token_ids: vec![1],
        logprobs: vec![-1.0],
        text: text.into(),
        finish_reason: FinishReason::Stop,
        seed: 0,
        replies: vec![],
    };
    CompletionRow {
        prompt_id: 0,
        completion_idx,
        policy_version: 0,
        completion,
        task: "detection".into(),
        answer: TRUTH.into(),
        first: None,
        images: vec![],
    }
}

#[test]
fn a_right_answer_earns_more_than_a_wrong_one() {
    let right = format!("<think> there </think>{TRUTH}");
    let batch = CompletionBatch { completions: vec![row(0, &right), row(1, "I do not know")] };
    let (node, sent) = Script::new(&PORTS).message("groups", &batch).end("groups").node();
    super::run(node, &Config::default(), &Terms::parse("")).unwrap();
    let [rewards] = &sent.all::<RewardBatch>("rewards")[..] else { panic!("one batch") };
    let totals: Vec<f32> = rewards.rewards.iter().map(|row| row.reward.unwrap()).collect();
    assert!(totals[0] > 2.9 && totals[1] == 0.0, "{totals:?}");
    let terms: Vec<_> = rewards.rewards[0].terms.iter().map(|term| term.name.as_str()).collect();
    assert_eq!(terms, ["confidence", "format", "iou"]);
    assert!(sent.ended("rewards"));
}

#[test]
fn each_task_is_scored_by_its_own_reward() {
    let text = "[[data.sources]]\ntask = \"detection\"\ntrain = \"a.jsonl\"\n\
                [[data.sources]]\ntask = \"names\"\ntrain = \"b.jsonl\"\n\
                [data.sources.reward.answer]\ntype = \"label\"\n\
                [data.sources.reward.terms.right]\nmetric = \"accuracy\"\nweight = 2.0";
    let config = Config::read(&vrft_config::Document::parse(text, "test").unwrap()).unwrap();
    let named = |idx, text| CompletionRow {
        prompt_id: 1,
        task: "names".into(),
        answer: "rose".into(),
        ..row(idx, text)
    };
    let completions = vec![
        row(0, &format!("<think> there </think>{TRUTH}")),
        named(0, "<answer>rose</answer>"),
        named(1, "<answer>tulip</answer>"),
    ];
    let batch = CompletionBatch { completions };
    let (node, sent) = Script::new(&PORTS).message("groups", &batch).end("groups").node();
    super::run(node, &config, &Terms::parse("")).unwrap();
    let [rewards] = &sent.all::<RewardBatch>("rewards")[..] else { panic!("one batch") };
    let totals: Vec<f32> = rewards.rewards.iter().map(|row| row.reward.unwrap()).collect();
    assert_eq!(totals, [3.0, 2.0, 0.0]);
}

#[test]
fn ground_truth_that_cannot_be_read_stops_the_run() {
    let batch = CompletionBatch {
        completions: vec![CompletionRow { answer: "no boxes here".into(), ..row(0, "") }],
    };
    let (node, _sent) = Script::new(&PORTS).message("groups", &batch).end("groups").node();
    let error = super::run(node, &Config::default(), &Terms::parse("")).unwrap_err();
    assert!(format!("{error:#}").contains("ground truth of prompt 0"), "{error:#}");
}

fn correcting() -> Config {
    let mut config = Config::default();
    config.rewards.shared.correction = Some(vrft_reward::config::CorrectionConfig::default());
    config
}

#[test]
fn a_correction_earns_what_it_mends_and_pays_for_what_it_spoils() {
    let right = format!("<think> there </think>{TRUTH}");
    let wrong = "<think> no </think><answer>No Objects</answer>";
    let rows = |prompt_id, first: &str| {
        [(0, right.as_str()), (1, wrong)].map(|(idx, text)| CompletionRow {
            prompt_id,
            first: Some(first.to_owned()),
            ..row(idx, text)
        })
    };
    let completions = [rows(0, wrong), rows(1, &right)].concat();
    let batch = CompletionBatch { completions };
    let (node, sent) = Script::new(&PORTS).message("groups", &batch).end("groups").node();
    super::run(node, &correcting(), &Terms::parse("")).unwrap();
    let [rewards] = &sent.all::<RewardBatch>("rewards")[..] else { panic!("one batch") };
    let totals: Vec<f32> = rewards.rewards.iter().map(|row| row.reward.unwrap()).collect();
    // Right earns 3 alone, wrong but well formed 1.
    assert_eq!(totals, [3.0 + 2.0, 1.0, 3.0, 1.0 - 2.0]);
    let terms = &rewards.rewards[0].terms;
    assert_eq!(terms.iter().map(|term| term.weight * term.value).sum::<f32>(), 5.0, "{terms:?}");
    let gain = terms.iter().find(|term| term.name == "gain").unwrap();
    assert_eq!((gain.value, gain.weight), (2.0, 1.0));
}

#[test]
fn a_correction_of_nothing_is_refused() {
    let batch = CompletionBatch { completions: vec![row(0, "")] };
    let (node, _sent) = Script::new(&PORTS).message("groups", &batch).end("groups").node();
    let error = super::run(node, &correcting(), &Terms::parse("")).unwrap_err().to_string();
    assert!(error.starts_with("prompt 0: reward.correction"), "{error}");
    let (node, _sent) = Script::new(&PORTS).node();
    let error = super::run(node, &correcting(), &Terms::parse("iou")).unwrap_err().to_string();
    assert!(error.starts_with("--terms"), "{error}");
}
