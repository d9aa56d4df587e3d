//! Sound graphs pass, wrong ones are refused with node, edge and remedy.

use super::*;

const SFT: &str = "
nodes:
  - id: loader
    path: target/release/vrft-loader
    inputs: {credit: {source: sft/credit, queue_size: 16, queue_policy: backpressure}}
    outputs: [prompts]
  - id: sft
    path: target/release/vrft-learner
    args: --objective sft
    inputs: {prompts: {source: loader/prompts, queue_size: 16, queue_policy: backpressure}}
    outputs: [credit, checkpoint, metrics]
";

const POOL: &str = "
nodes:
  - id: loader
    path: vrft-loader
    inputs: {credit: {source: learner/credit, queue_size: 16, queue_policy: backpressure}}
    outputs: [prompts]
  - id: pool
    path: vrft-pool
    inputs:
      prompts: {source: loader/prompts, queue_size: 16, queue_policy: backpressure}
      a: {source: rollout_a/groups, queue_size: 16, queue_policy: backpressure}
    outputs: [groups, a]
  - id: rollout_a
    path: vrft-rollout
    inputs:
      prompts: {source: pool/a, queue_size: 16, queue_policy: backpressure}
      policy: {source: learner/policy, queue_size: 16, queue_policy: backpressure}
    outputs: [groups]
  - id: learner
    path: vrft-learner
    inputs:
      prompts: {source: loader/prompts, queue_size: 16, queue_policy: backpressure}
      groups: {source: pool/groups, queue_size: 16, queue_policy: backpressure}
      advantages: {source: judge/advantages, queue_size: 16, queue_policy: backpressure}
    outputs: [policy, credit, checkpoint]
  - id: judge
    path: judge.py
    inputs: {groups: {source: pool/groups, queue_size: 16, queue_policy: backpressure}}
    outputs: [advantages]
  - id: monitor
    path: dynamic
    inputs: {learner: {source: sft/metrics}}
  - id: sft
    path: other
    outputs: [metrics]
";

fn graph(text: &str) -> Descriptor {
    yaml_serde::from_str(text).unwrap()
}

#[track_caller]
fn refused(text: &str, from: &str, to: &str, words: &str) {
    assert!(text.contains(from));
    let error = check(&graph(&text.replacen(from, to, 1))).unwrap_err().to_string();
    assert!(error.contains(words), "{error}");
}

#[test]
fn sound_graphs_pass() {
    check(&graph(SFT)).unwrap();
    check(&graph(POOL)).unwrap();
}

#[test]
fn a_missing_edge_is_named() {
    refused(
        SFT,
        "inputs: {credit:",
        "inputs: {credits:",
        "\"loader\" (vrft-loader) needs an input",
    );
    refused(SFT, "--objective sft", "", "\"sft\" (vrft-learner) needs an input \"groups\"");
    refused(POOL, "[groups, a]", "[groups]", "add it, it carries that rollout's share");
}

#[test]
fn an_edge_from_nowhere_is_named() {
    refused(SFT, "sft/credit", "learner/credit", "there is no node \"learner\"");
    refused(SFT, "sft/credit", "sft/credits", "has no output \"credits\"; it has");
}

#[test]
fn an_edge_with_the_wrong_messages_is_named() {
    let words = "edge sft/metrics -> loader/credit carries metrics, but credit is expected there";
    refused(SFT, "sft/credit", "sft/metrics", words);
    let words = "edge loader/prompts -> pool/a carries prompts, but groups is expected there";
    refused(POOL, "a: {source: rollout_a/groups", "a: {source: loader/prompts", words);
}

#[test]
fn a_window_without_credit_is_named() {
    let another = "
  - {id: third, path: vrft-learner, args: --objective sft, outputs: [credit, checkpoint],
     inputs: {prompts: {source: loader/prompts, queue_size: 16, queue_policy: backpressure}}}";
    let error = check(&graph(&format!("{}{another}", SFT.trim_end()))).unwrap_err().to_string();
    assert!(error.contains("\"third\" (vrft-learner): nobody listens to its credit"), "{error}");
}

#[test]
fn credit_without_prompts_is_named() {
    refused(
        POOL,
        "prompts: {source: loader/prompts, queue_size: 16, queue_policy: backpressure}\n      groups",
        "prompts: {source: pool/a, queue_size: 16, queue_policy: backpressure}\n      groups",
        "learner \"learner\" gives credit but does not get the prompts",
    );
}

#[test]
fn a_default_queue_on_a_training_edge_is_named() {
    let words = "edge sft/credit -> loader/credit may lose messages: give it `queue_policy";
    refused(SFT, ", queue_policy: backpressure", "", words);
    refused(SFT, "queue_size: 16", "queue_size: 2", "queue_size is 2, give it 16 or more");
    // Also where the receiver is somebody else's node.
    let judge =
        "inputs: {groups: {source: pool/groups, queue_size: 16, queue_policy: backpressure}}";
    refused(POOL, judge, "inputs: {groups: pool/groups}", "edge pool/groups -> judge/groups may");
}

#[test]
fn rollouts_of_a_pool_are_replicas() {
    assert_eq!(replicas(&graph(POOL)), BTreeSet::from(["rollout_a".to_owned()]));
    assert!(replicas(&graph(SFT)).is_empty());
    assert!(is_live(&graph(POOL), "monitor", "learner"));
    assert!(!is_live(&graph(POOL), "learner", "groups"));
}
