//! The reward node, driven without dora.

use vrft_messages::{
    Completion, CompletionBatch, CompletionRow, FinishReason, MetricBatch, Reply, RewardBatch,
};
use vrft_node::testing::Script;
use vrft_reward::config::FirstAnswer;

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

/// What the policy says first, is asked, and says then.
fn turned(completion_idx: u16, first: &str, second: &str) -> CompletionRow {
    let mut row = row(completion_idx, second);
    row.completion.token_ids = vec![1, 2, 3];
    row.completion.logprobs = vec![-1.0; 3];
    row.completion.replies = vec![Reply {
        after: 2,
        said: first.to_owned(),
        tool: None,
        text: "Check your answer.".into(),
        images: vec![],
    }];
    row
}

#[test]
fn each_turn_of_the_policy_earns_its_own() {
    let mut config = correcting();
    config.rewards.shared.correction.as_mut().unwrap().first = FirstAnswer::Policy;
    let right = format!("<think> there </think>{TRUTH}");
    let wrong = "<think> no </think><answer>No Objects</answer>";
    let completions = vec![
        turned(0, wrong, &right),
        turned(1, &right, wrong),
        // Cut before it was asked.
        row(2, &right),
    ];
    let batch = CompletionBatch { completions };
    let (node, sent) = Script::new(&PORTS).message("groups", &batch).end("groups").node();
    super::run(node, &config, &Terms::parse("")).unwrap();
    let [rewards] = &sent.all::<RewardBatch>("rewards")[..] else { panic!("one batch") };
    let both: Vec<_> =
        rewards.rewards.iter().map(|row| (row.first_turn.unwrap(), row.reward.unwrap())).collect();
    // Right earns 3 alone, wrong but well formed 1, nothing 0: r1 + r2 / 2 and r2 + (r2 - r1).
    assert_eq!(both, [(1.0 + 1.5, 3.0 + 2.0), (3.0 + 0.5, 1.0 - 2.0), (3.0, 0.0 - 3.0)]);
}

#[test]
fn calls_cost_and_the_last_turn_is_judged() {
    let text = "[rollout.tools]\ncost = 0.25\nmax_calls = 3";
    let config = Config::read(&vrft_config::Document::parse(text, "test").unwrap()).unwrap();
    let right = format!("<think> there </think>{TRUTH}");
    let mut called = turned(1, "<zoom>[1, 2, 3, 4]</zoom>", &right);
    called.completion.replies[0].tool = Some("zoom".into());
    let batch = CompletionBatch { completions: vec![row(0, &right), called] };
    let (node, sent) = Script::new(&PORTS).message("groups", &batch).end("groups").node();
    super::run(node, &config, &Terms::parse("")).unwrap();
    let [rewards] = &sent.all::<RewardBatch>("rewards")[..] else { panic!("one batch") };
    let totals: Vec<f32> = rewards.rewards.iter().map(|row| row.reward.unwrap()).collect();
    assert_eq!(totals, [3.0, 2.75]);
    for (row, n_calls) in rewards.rewards.iter().zip([0.0, 1.0]) {
        let calls = row.terms.iter().find(|term| term.name == "calls").unwrap();
        assert_eq!((calls.value, calls.weight), (-n_calls, 0.25));
        let sum: f32 = row.terms.iter().map(|term| term.weight * term.value).sum();
        assert_eq!(row.reward, Some(sum), "the terms sum to the reward");
    }
    let error = super::run(Script::new(&PORTS).node().0, &config, &Terms::parse("iou"));
    let error = error.unwrap_err().to_string();
    assert!(error.starts_with("--terms: with rollout.tools.cost"), "{error}");
}

#[test]
fn rules_that_change_during_training_say_when_they_have() {
    let text = "[reward]\nrefine_after = 0.5\n[reward.answer]\ntype = \"boxes\"\nspace = \"thousandths\"\n\
                keys = { place = \"Position\", confidence = \"Confidence\" }\nnothing = \"No Objects\"\n\
                [reward.match]\nby = \"hungarian\"\n[reward.terms.recall]\nmetric = \"recall\"\n\
                threshold = 0.5\nrefined = { threshold = 0.9 }\n\
                [learner]\nsteps = 4\nprompts_per_step = 1";
    let config = Config::read(&vrft_config::Document::parse(text, "test").unwrap()).unwrap();
    // It overlaps by 0.8.
    let near = "<think> there </think><answer>[{'Position': [100, 100, 300, 260], 'Confidence': 1}]</answer>";
    let of_step = |prompt_id| CompletionBatch {
        completions: vec![CompletionRow { prompt_id, ..row(0, near) }],
    };
    let script =
        (0..4).fold(Script::new(&PORTS), |script, step| script.message("groups", &of_step(step)));
    let (node, sent) = script.end("groups").node();
    super::run(node, &config, &Terms::parse("")).unwrap();
    let recalls: Vec<f32> = sent
        .all::<RewardBatch>("rewards")
        .iter()
        .map(|batch| {
            batch.rewards[0].terms.iter().find(|term| term.name == "recall").unwrap().value
        })
        .collect();
    assert_eq!(recalls, [1.0, 1.0, 0.0, 0.0]);
    let metrics = sent.all::<MetricBatch>("metrics");
    let refined = metrics.iter().flat_map(|batch| &batch.metrics);
    let refined: Vec<f64> =
        refined.filter(|m| m.name == "reward/refined").map(|m| m.value).collect();
    assert_eq!(refined, [0.0, 0.0, 1.0, 1.0]);
}
