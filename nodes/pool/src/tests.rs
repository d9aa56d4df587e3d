//! The pool, driven without dora.

use vrft_messages::{Completion, CompletionBatch, FinishReason, Prompt, PromptBatch, Turn};
use vrft_node::testing::{Script, Sent};
use vrft_plan::{OnLoss, PoolConfig};

use crate::Config;

fn prompts(ids: std::ops::Range<u64>) -> PromptBatch {
    let prompt = |prompt_id| Prompt {
        prompt_id,
        sample_id: String::new(),
        task: "detection".into(),
        turns: vec![Turn::question(1, "Where?")],
        images: vec![],
        answer: String::new(),
        min_policy_version: 0,
    };
    PromptBatch { prompts: ids.map(prompt).collect() }
}

fn groups(ids: &[u64], sampler: &str) -> CompletionBatch {
    let completion = |prompt_id, completion_idx| Completion {
        prompt_id,
        completion_idx,
        policy_version: 0,
        token_ids: vec![1],
        logprobs: vec![-1.0],
        text: sampler.into(),
        finish_reason: FinishReason::Stop,
        seed: 0,
        task: "detection".into(),
        answer: String::new(),
    };
    let rows = ids.iter().flat_map(|id| (0..2).map(move |idx| completion(*id, idx)));
    CompletionBatch { completions: rows.collect() }
}

fn config(on_loss: OnLoss, patience_secs: f64) -> Config {
    Config { pool: PoolConfig { on_loss, patience_secs }, ..Config::default() }
}

fn ended(script: Script) -> Script {
    script.end("prompts").end("a").end("b")
}

#[track_caller]
fn pooled(config: &Config, script: Script) -> Sent {
    let (node, sent) = script.node();
    super::run(node, config).unwrap();
    sent
}

/// Prompts that went to a rollout, message by message.
fn sent_to(sent: &Sent, rollout: &str) -> Vec<Vec<u64>> {
    let ids = |batch: PromptBatch| batch.prompts.iter().map(|prompt| prompt.prompt_id).collect();
    sent.all::<PromptBatch>(rollout).into_iter().map(ids).collect()
}

/// What went to the rest of the graph: prompt and sampler of each group, message by message.
fn merged(sent: &Sent) -> Vec<Vec<(u64, String)>> {
    let rows = |batch: CompletionBatch| {
        batch.groups().map(|group| (group[0].prompt_id, group[0].text.clone())).collect()
    };
    sent.all::<CompletionBatch>("groups").into_iter().map(rows).collect()
}

fn expect(rows: &[(u64, &str)]) -> Vec<(u64, String)> {
    rows.iter().map(|(id, sampler)| (*id, (*sampler).to_owned())).collect()
}

#[test]
fn prompts_are_shared_out_by_number_and_groups_come_in_their_order() {
    let script = Script::new()
        .message("prompts", &prompts(0..4))
        .message("b", &groups(&[1, 3], "b"))
        .message("a", &groups(&[0, 2], "a"));
    let sent = pooled(&config(OnLoss::End, 0.0), ended(script));
    assert_eq!(sent_to(&sent, "a"), [[0, 2]]);
    assert_eq!(sent_to(&sent, "b"), [[1, 3]]);
    assert_eq!(merged(&sent), [expect(&[(0, "a"), (1, "b"), (2, "a"), (3, "b")])]);
    assert!(sent.ended("groups") && sent.ended("a") && sent.ended("b"));
}

#[test]
fn a_batch_waits_for_the_batch_before_it() {
    let script = Script::new()
        .message("prompts", &prompts(0..2))
        .message("prompts", &prompts(2..4))
        .message("b", &groups(&[1], "b"))
        .message("b", &groups(&[3], "b"))
        .message("a", &groups(&[0], "a"))
        .message("a", &groups(&[2], "a"));
    let sent = pooled(&config(OnLoss::End, 0.0), ended(script));
    let expected = [expect(&[(0, "a"), (1, "b")]), expect(&[(2, "a"), (3, "b")])];
    assert_eq!(merged(&sent), expected);
}

#[test]
fn the_prompts_of_a_rollout_that_dies_go_to_the_others() {
    let script = Script::new()
        .replica("a")
        .replica("b")
        .message("prompts", &prompts(0..4))
        .message("b", &groups(&[1, 3], "b"))
        .failure("a")
        .message("b", &groups(&[0, 2], "b"))
        .message("prompts", &prompts(4..6))
        .message("b", &groups(&[4, 5], "b"))
        .end("prompts")
        .end("b");
    let sent = pooled(&config(OnLoss::Survive, 0.0), script);
    assert_eq!(sent_to(&sent, "b"), [vec![1, 3], vec![0, 2], vec![4], vec![5]]);
    assert_eq!(merged(&sent).concat().len(), 6);
}

#[test]
fn the_prompts_end_while_the_rollouts_still_listen() {
    let script = Script::new()
        .message("prompts", &prompts(0..2))
        .end("prompts")
        .message("a", &groups(&[0], "a"))
        .message("b", &groups(&[1], "b"))
        .pause();
    let sent = pooled(&config(OnLoss::End, 0.0), script);
    assert_eq!(merged(&sent).len(), 1);
}

#[test]
fn without_a_rollout_the_run_ends() {
    let script = Script::new().replica("a").message("prompts", &prompts(0..2)).failure("a");
    let (node, _sent) = script.node();
    let error = super::run(node, &config(OnLoss::Survive, 0.0)).unwrap_err().to_string();
    assert!(error.contains("no rollout is left to answer prompts [0, 1]"), "{error}");
}

#[test]
fn the_prompts_of_a_rollout_that_lags_go_to_the_others_and_count_once() {
    let script = Script::new()
        .message("prompts", &prompts(0..2))
        .message("b", &groups(&[1], "b"))
        .pause()
        .message("b", &groups(&[0], "b"))
        .message("prompts", &prompts(2..4))
        .message("b", &groups(&[2, 3], "b"))
        .message("a", &groups(&[0], "a"))
        .message("prompts", &prompts(4..6))
        .message("a", &groups(&[4], "a"))
        .message("b", &groups(&[5], "b"));
    let sent = pooled(&config(OnLoss::Survive, 1e-9), ended(script));
    assert_eq!(sent_to(&sent, "a"), [[0], [4]]);
    assert_eq!(sent_to(&sent, "b"), [vec![1], vec![0], vec![2], vec![3], vec![5]]);
    let whole = merged(&sent).concat();
    assert_eq!(whole[0], (0, "b".to_owned()));
    assert_eq!(whole.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn a_rollout_that_lags_ends_the_run_if_it_should() {
    let script = Script::new().message("prompts", &prompts(0..2)).replica("a").replica("b").pause();
    let (node, _sent) = script.node();
    let error = super::run(node, &config(OnLoss::End, 1e-9)).unwrap_err().to_string();
    assert!(error.contains("rollout \"a\" has not answered prompts [0]"), "{error}");
    assert!(error.contains("pool.patience_secs"), "{error}");
}

#[test]
fn a_group_that_nobody_asked_for_is_an_error() {
    let script = Script::new().message("prompts", &prompts(0..2)).message("b", &groups(&[0], "b"));
    let (node, _sent) = ended(script.replica("a")).node();
    let error = super::run(node, &config(OnLoss::End, 0.0)).unwrap_err().to_string();
    assert!(error.contains("\"b\" answered prompt 0, which it was not sent"), "{error}");
}
