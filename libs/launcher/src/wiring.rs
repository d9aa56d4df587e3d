//! What a training graph must look like, checked before anything is started.

use std::path::Path;

use dora_message::config::{Input, InputMapping, QueuePolicy};
use dora_message::descriptor::{Descriptor, Node};
use eyre::{bail, ensure};

/// Shortest queue of a training edge; messages beyond ten times as many would be dropped.
const MIN_QUEUE_SIZE: usize = 16;

/// What each of our executables cannot do without: inputs, outputs.
const STAGES: &[(&str, &[&str], &[&str])] = &[
    ("vrft-loader", &["credit"], &["prompts"]),
    ("vrft-rollout", &["prompts", "policy"], &["groups"]),
    ("vrft-reward", &["groups"], &["rewards"]),
    ("vrft-advantage", &["rewards"], &["advantages"]),
    ("vrft-learner", &["prompts"], &["credit", "checkpoint"]),
    ("vrft-evaluator", &[], &[]),
    ("vrft-monitor", &[], &[]),
];

/// What a learner needs besides when it learns from rewards.
const GRPO: (&[&str], &[&str]) = (&["groups", "advantages"], &["policy"]);

/// Checks every node and every edge.
///
/// # Errors
/// The first thing wrong, with node, edge and remedy.
pub(crate) fn check(descriptor: &Descriptor) -> eyre::Result<()> {
    for node in &descriptor.nodes {
        check_stage(node)?;
        for (id, input) in &node.inputs {
            check_edge(descriptor, node, id.as_ref(), input)?;
        }
    }
    Ok(())
}

fn check_stage(node: &Node) -> eyre::Result<()> {
    let executable = node.path.as_deref().and_then(|path| Path::new(path).file_stem()?.to_str());
    let Some((name, inputs, outputs)) =
        STAGES.iter().find(|(name, _, _)| Some(*name) == executable)
    else {
        return Ok(());
    };
    let supervised = node.args.as_deref().is_some_and(|args| args.contains("sft"));
    let learns_from_rewards = *name == "vrft-learner" && !supervised;
    let (more_inputs, more_outputs) = if learns_from_rewards { GRPO } else { (&[][..], &[][..]) };
    for input in inputs.iter().chain(more_inputs) {
        let there = node.inputs.keys().any(|id| AsRef::<str>::as_ref(id) == *input);
        ensure!(there, "node {:?} ({name}) needs an input {input:?}", node.id.to_string());
    }
    for output in outputs.iter().chain(more_outputs) {
        let there = node.outputs.iter().any(|id| AsRef::<str>::as_ref(id) == *output);
        ensure!(there, "node {:?} ({name}) needs an output {output:?}", node.id.to_string());
    }
    Ok(())
}

fn check_edge(descriptor: &Descriptor, node: &Node, id: &str, input: &Input) -> eyre::Result<()> {
    let InputMapping::User(source) = &input.mapping else { return Ok(()) };
    let edge = format!("{}/{} -> {}/{id}", source.source, source.output, node.id);
    let Some(sender) = descriptor.nodes.iter().find(|node| node.id == source.source) else {
        bail!("edge {edge}: there is no node {:?}", source.source.to_string());
    };
    ensure!(
        sender.outputs.contains(&source.output),
        "edge {edge}: node {:?} has no output {:?}; it has {:?}",
        sender.id.to_string(),
        source.output.to_string(),
        sender.outputs.iter().map(ToString::to_string).collect::<Vec<_>>()
    );
    ensure!(
        input.queue_policy == Some(QueuePolicy::Backpressure),
        "edge {edge} may lose messages: give it `queue_policy: backpressure`"
    );
    let size = input.queue_size.unwrap_or(10);
    ensure!(
        size >= MIN_QUEUE_SIZE,
        "edge {edge}: queue_size is {size}, give it {MIN_QUEUE_SIZE} or more"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRAPH: &str = "
nodes:
  - id: loader
    path: target/release/vrft-loader
    inputs: {credit: {source: sft/credit, queue_size: 16, queue_policy: backpressure}}
    outputs: [prompts]
  - id: sft
    path: target/release/vrft-learner
    args: --objective sft
    inputs: {prompts: {source: loader/prompts, queue_size: 16, queue_policy: backpressure}}
    outputs: [credit, checkpoint]
";

    #[track_caller]
    fn refused(from: &str, to: &str, words: &str) {
        assert!(GRAPH.contains(from));
        let descriptor = serde_yaml::from_str(&GRAPH.replacen(from, to, 1)).unwrap();
        let error = check(&descriptor).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }

    #[test]
    fn a_sound_graph_passes() {
        check(&serde_yaml::from_str(GRAPH).unwrap()).unwrap();
    }

    #[test]
    fn wrong_graphs_are_refused_with_node_and_remedy() {
        refused(
            "inputs: {credit:",
            "inputs: {credits:",
            "\"loader\" (vrft-loader) needs an input \"credit\"",
        );
        refused("--objective sft", "", "\"sft\" (vrft-learner) needs an input \"groups\"");
        refused("sft/credit", "learner/credit", "no node \"learner\"");
        refused("sft/credit", "sft/credits", "no output \"credits\"");
        refused(", queue_policy: backpressure", "", "give it `queue_policy: backpressure`");
        refused("queue_size: 16", "queue_size: 2", "queue_size is 2, give it 16 or more");
    }
}
