//! The pool, driven without dora.

use vrft_messages::{
    Completion, CompletionBatch, CompletionRow, FinishReason, MetricBatch, Prompt, PromptBatch,
    Turn,
};
use vrft_node::testing::{Script, Sent};
use vrft_plan::{OnLoss, PoolConfig};

use crate::Config;
use crate::ports::PORTS;

fn prompts(ids: std::ops::Range<u64>) -> PromptBatch {
    let prompt = |prompt_id| Prompt {
        prompt_id,
        sample_id: String::new(),
        task: "detection".into(),
        turns: vec![Turn::question(1, "Where?")],
        images: vec![],
        answer: String::new(),
        policy_version: 0,
    };
    PromptBatch { prompts: ids.map(prompt).collect() }
}

fn groups(ids: &[u64], sampler: &str) -> CompletionBatch {
    let completion = Completion {
        token_ids: vec![1],
        logprobs: vec![-1.0],
        text: sampler.into(),
        finish_reason: FinishReason::Stop,
        seed: 0,
        replies: vec![],
    };
    let row = |prompt_id, completion_idx| CompletionRow {
        prompt_id,
        completion_idx,
        policy_version: 0,
        completion: completion.clone(),
        task: "detection".into(),
        answer: String::new(),
        first: None,
        images: vec![],
    };
    let rows = ids.iter().flat_map(|id| [row(*id, 0), row(*id, 1)]);
    CompletionBatch { completions: rows.collect() }
}

fn config(on_loss: OnLoss, patience_secs: f64) -> Config {
    Config {
        pool: PoolConfig { on_loss, patience_secs, units_per_rollout: 1 },
        ..Config::default()
    }
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
        batch.groups().map(|group| (group[0].prompt_id, group[0].completion.text.clone())).collect()
    };
    sent.all::<CompletionBatch>("groups").into_iter().map(rows).collect()
}

fn expect(rows: &[(u64, &str)]) -> Vec<(u64, String)> {
    rows.iter().map(|(id, sampler)| (*id, (*sampler).to_owned())).collect()
}

#[test]
fn prompts_are_shared_out_by_number_and_groups_come_in_their_order() {
    let script = Script::new(&PORTS)
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
    let script = Script::new(&PORTS)
        .message("prompts", &prompts(0..2))
        .message("prompts", &prompts(2..4))
        .message("b", &groups(&[1], "b"))
        .message("b", &groups(&[2], "b"))
        .message("b", &groups(&[3], "b"))
        .message("a", &groups(&[0], "a"));
    let sent = pooled(&config(OnLoss::End, 0.0), ended(script));
    let expected = [expect(&[(0, "a"), (1, "b")]), expect(&[(2, "b"), (3, "b")])];
    assert_eq!(merged(&sent), expected);
}

#[test]
fn who_is_faster_gets_more() {
    let mut config = config(OnLoss::End, 0.0);
    config.pool.units_per_rollout = 3;
    let script = Script::new(&PORTS)
        .message("prompts", &prompts(0..12))
        .message("b", &groups(&[1, 7], "b"))
        .message("b", &groups(&[2, 8], "b"))
        .message("b", &groups(&[3, 9], "b"))
        .message("a", &groups(&[0, 6], "a"))
        .message("b", &groups(&[4, 10], "b"))
        .message("a", &groups(&[5, 11], "a"));
    let sent = pooled(&config, ended(script));
    assert_eq!(sent_to(&sent, "a"), [[0, 6], [5, 11]]);
    assert_eq!(sent_to(&sent, "b"), [[1, 7], [2, 8], [3, 9], [4, 10]]);
    let ids: Vec<u64> = merged(&sent).concat().iter().map(|(id, _)| *id).collect();
    assert_eq!(ids, (0..12).collect::<Vec<_>>());
    let metrics = sent.all::<MetricBatch>("metrics").remove(0).metrics;
    let value = |name: &str| metrics.iter().find(|metric| metric.name == name).unwrap().value;
    assert_eq!((value("pool/prompts/a"), value("pool/prompts/b")), (4.0, 8.0));
}

#[test]
fn a_unit_holds_the_same_prompts_whoever_answers_it() {
    let mut config = config(OnLoss::End, 0.0);
    config.pool.units_per_rollout = 2;
    let run = |order: [(&str, [u64; 2]); 4]| {
        let script = Script::new(&PORTS).message("prompts", &prompts(0..8));
        let script = order
            .into_iter()
            .fold(script, |script, (who, ids)| script.message(who, &groups(&ids, who)));
        let sent = pooled(&config, ended(script));
        let mut units = [sent_to(&sent, "a"), sent_to(&sent, "b")].concat();
        units.sort();
        units
    };
    let even = run([("a", [0, 4]), ("b", [1, 5]), ("a", [2, 6]), ("b", [3, 7])]);
    let uneven = run([("b", [1, 5]), ("b", [2, 6]), ("b", [3, 7]), ("a", [0, 4])]);
    assert_eq!(even, uneven);
}

#[test]
fn the_prompts_of_a_rollout_that_dies_go_to_the_others() {
    let script = Script::new(&PORTS)
        .replica("a")
        .replica("b")
        .message("prompts", &prompts(0..4))
        .message("b", &groups(&[1, 3], "b"))
        .failure("a")
        .message("b", &groups(&[0, 2], "b"))
        .message("prompts", &prompts(4..6))
        .message("b", &groups(&[4], "b"))
        .message("b", &groups(&[5], "b"))
        .end("prompts")
        .end("b");
    let sent = pooled(&config(OnLoss::Survive, 0.0), script);
    assert_eq!(sent_to(&sent, "b"), [vec![1, 3], vec![0, 2], vec![4], vec![5]]);
    assert_eq!(merged(&sent).concat().len(), 6);
}

#[test]
fn the_prompts_end_while_the_rollouts_still_listen() {
    let script = Script::new(&PORTS)
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
    let script = Script::new(&PORTS).replica("a").message("prompts", &prompts(0..2)).failure("a");
    let (node, _sent) = script.node();
    let error = super::run(node, &config(OnLoss::Survive, 0.0)).unwrap_err().to_string();
    assert!(error.contains("no rollout is left to answer prompts [0, 1]"), "{error}");
}

#[test]
fn the_prompts_of_a_rollout_that_lags_go_to_the_others_and_count_once() {
    let script = Script::new(&PORTS)
        .message("prompts", &prompts(0..2))
        .message("b", &groups(&[1], "b"))
        .pause()
        .message("b", &groups(&[0], "b"))
        .message("prompts", &prompts(2..4))
        .message("b", &groups(&[2], "b"))
        .message("b", &groups(&[3], "b"))
        .message("a", &groups(&[0], "a"))
        .message("prompts", &prompts(4..6))
        .message("b", &groups(&[4], "b"))
        .message("a", &groups(&[5], "a"));
    let sent = pooled(&config(OnLoss::Survive, 1e-9), ended(script));
    assert_eq!(sent_to(&sent, "a"), [[0], [5]]);
    assert_eq!(sent_to(&sent, "b"), [[1], [0], [2], [3], [4]]);
    let whole = merged(&sent).concat();
    assert_eq!(whole[0], (0, "b".to_owned()));
    assert_eq!(whole.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn where_all_others_died_one_that_lags_is_waited_for() {
    let script = Script::new(&PORTS)
        .replica("a")
        .replica("b")
        .message("prompts", &prompts(0..2))
        .message("b", &groups(&[1], "b"))
        .pause()
        .failure("b")
        .message("a", &groups(&[0], "a"))
        .end("prompts")
        .end("a");
    let sent = pooled(&config(OnLoss::Survive, 1e-9), script);
    assert_eq!(merged(&sent), [expect(&[(0, "a"), (1, "b")])]);
}

#[test]
fn a_rollout_that_lags_ends_the_run_if_it_should() {
    let script =
        Script::new(&PORTS).message("prompts", &prompts(0..2)).replica("a").replica("b").pause();
    let (node, _sent) = script.node();
    let error = super::run(node, &config(OnLoss::End, 1e-9)).unwrap_err().to_string();
    assert!(error.contains("rollout \"a\" has not answered prompts [0]"), "{error}");
    assert!(error.contains("pool.patience_secs"), "{error}");
}

#[test]
fn groups_that_nobody_asked_for_are_an_error() {
    let script =
        Script::new(&PORTS).message("prompts", &prompts(0..2)).message("b", &groups(&[0], "b"));
    let (node, _sent) = ended(script.replica("a")).node();
    let error = super::run(node, &config(OnLoss::End, 0.0)).unwrap_err().to_string();
    assert!(error.contains("\"b\" answered prompts [0], but it was sent [1]"), "{error}");
}
