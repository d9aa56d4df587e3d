//! What a training graph must look like. Checked by `vrft check`, before a run, and by every node when it joins.

use std::collections::BTreeSet;

use dora_message::config::{Input, InputMapping, QueuePolicy, UserInputMapping};
use dora_message::descriptor::{Descriptor, Node};
use eyre::{ensure, eyre};

use crate::stages::{self, Stage, TRAINING, WATCH};

/// Shortest queue of a training edge: a backpressure edge drops what is beyond ten times its queue.
const MIN_QUEUE_SIZE: usize = 16;

/// Checks every node and every edge.
///
/// # Errors
/// The first thing wrong, with node, edge and remedy.
pub fn check(graph: &Descriptor) -> eyre::Result<()> {
    for node in &graph.nodes {
        if let Some(stage) = stages::of(node) {
            check_ports(node, stage)?;
            check_credit(graph, node, stage)?;
            check_pool(node, stage)?;
        }
        for (id, input) in &node.inputs {
            if let InputMapping::User(source) = &input.mapping {
                check_edge(graph, &Edge { node, id: id.as_ref(), input, source })?;
            }
        }
    }
    Ok(())
}

/// Rollouts that share their prompts through a pool: the run can do without one of them.
pub fn replicas(graph: &Descriptor) -> BTreeSet<String> {
    let pools = graph.nodes.iter().filter(|node| is(node, "vrft-pool"));
    let groups = pools.flat_map(replica_inputs);
    let sources = groups.filter_map(|(_, input)| match &input.mapping {
        InputMapping::User(source) => Some(source.source.to_string()),
        _ => None,
    });
    sources.collect()
}

fn is(node: &Node, executable: &str) -> bool {
    stages::of(node).is_some_and(|stage| stage.executable == executable)
}

fn replica_inputs(pool: &Node) -> impl Iterator<Item = (&str, &Input)> {
    let inputs = pool.inputs.iter().map(|(id, input)| (id.as_ref(), input));
    inputs.filter(|(id, _)| !["prompts", WATCH].contains(id))
}

/// Whether messages on this input of one of our nodes may be dropped: a camera's frames, a late monitor's numbers.
pub(crate) fn is_live(graph: &Descriptor, node_id: &str, input: &str) -> bool {
    let node = graph.nodes.iter().find(|node| AsRef::<str>::as_ref(&node.id) == node_id);
    node.is_some_and(|node| {
        node.path.as_deref() == Some("dynamic")
            || stages::of(node).is_some_and(|stage| stage.live.contains(&input))
    })
}

fn check_ports(node: &Node, stage: &Stage) -> eyre::Result<()> {
    let (id, name) = (node.id.to_string(), stage.executable);
    for (input, carries) in stage.inputs {
        ensure!(
            node.inputs.keys().any(|id| AsRef::<str>::as_ref(id) == *input),
            "node {id:?} ({name}) needs an input {input:?}: connect it to an output that carries {carries}"
        );
    }
    for (output, _) in stage.outputs {
        ensure!(
            has_output(node, output),
            "node {id:?} ({name}) needs an output {output:?}: add it to its `outputs`"
        );
    }
    if let Some(carries) = stage.others.filter(|_| name == "vrft-advantage") {
        ensure!(
            node.inputs.keys().any(|id| !["groups", WATCH].contains(&id.as_ref())),
            "node {id:?} ({name}) needs an input that carries {carries}"
        );
    }
    Ok(())
}

/// Credit is what bounds the prompts under way: it must go from a learner to the loader that feeds it.
fn check_credit(graph: &Descriptor, node: &Node, stage: &Stage) -> eyre::Result<()> {
    let id = node.id.to_string();
    if stage.executable == "vrft-learner" {
        ensure!(
            graph.nodes.iter().any(|other| listens(other, &id, "credit")),
            "node {id:?} (vrft-learner): nobody listens to its credit, so its window is never filled: give its \
             loader an input `credit: {{source: {id}/credit, queue_size: {MIN_QUEUE_SIZE}, queue_policy: \
             backpressure}}`"
        );
    }
    if stage.executable != "vrft-loader" {
        return Ok(());
    }
    let learners = graph.nodes.iter().filter(|other| is(other, "vrft-learner"));
    for learner in learners.filter(|learner| listens(node, learner.id.as_ref(), "credit")) {
        ensure!(
            listens(learner, &id, "prompts"),
            "edge {0}/credit -> {id}/credit: learner {0:?} gives credit but does not get the prompts: give it an \
             input `prompts` from {id}/prompts",
            learner.id.to_string()
        );
    }
    Ok(())
}

/// A pool names the way to a rollout and the way back alike.
fn check_pool(node: &Node, stage: &Stage) -> eyre::Result<()> {
    if stage.executable != "vrft-pool" {
        return Ok(());
    }
    let id = node.id.to_string();
    let inputs: BTreeSet<&str> = replica_inputs(node).map(|(input, _)| input).collect();
    ensure!(
        !inputs.is_empty(),
        "node {id:?} (vrft-pool) has no rollout: give it an input with the groups of each"
    );
    for input in inputs {
        ensure!(
            has_output(node, input),
            "node {id:?} (vrft-pool) has an input {input:?} but no output {input:?}: add it, it carries that \
             rollout's share of the prompts"
        );
    }
    Ok(())
}

fn has_output(node: &Node, output: &str) -> bool {
    node.outputs.iter().any(|id| AsRef::<str>::as_ref(id) == output)
}

fn listens(node: &Node, source: &str, output: &str) -> bool {
    node.inputs.values().any(|input| match &input.mapping {
        InputMapping::User(mapping) => {
            AsRef::<str>::as_ref(&mapping.source) == source
                && AsRef::<str>::as_ref(&mapping.output) == output
        }
        _ => false,
    })
}

/// One edge of the graph, seen from its receiving end.
struct Edge<'a> {
    node: &'a Node,
    id: &'a str,
    input: &'a Input,
    source: &'a UserInputMapping,
}

impl std::fmt::Display for Edge<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { node, id, source, .. } = self;
        write!(f, "edge {}/{} -> {}/{id}", source.source, source.output, node.id)
    }
}

fn check_edge(graph: &Descriptor, edge: &Edge) -> eyre::Result<()> {
    let output: &str = edge.source.output.as_ref();
    let sender = graph.nodes.iter().find(|node| node.id == edge.source.source);
    let sender = sender
        .ok_or_else(|| eyre!("{edge}: there is no node {:?}", edge.source.source.to_string()))?;
    ensure!(
        has_output(sender, output),
        "{edge}: node {:?} has no output {output:?}; it has {:?}",
        sender.id.to_string(),
        sender.outputs.iter().map(ToString::to_string).collect::<Vec<_>>()
    );
    let gives = stages::of(sender).and_then(|stage| stage.gives(output));
    let stage = stages::of(edge.node);
    let takes = stage.and_then(|stage| stage.takes(edge.id));
    if let (Some(gives), Some(takes)) = (gives, takes) {
        ensure!(
            gives == takes,
            "{edge} carries {gives}, but {takes} is expected there: connect it to an output that carries {takes}"
        );
    }
    let live = is_live(graph, edge.node.id.as_ref(), edge.id);
    let training = gives.is_some_and(|gives| TRAINING.contains(&gives)) || stage.is_some();
    if live || !training {
        return Ok(());
    }
    check_queue(edge)
}

/// dora's default edges drop messages.
fn check_queue(edge: &Edge) -> eyre::Result<()> {
    ensure!(
        edge.input.queue_policy == Some(QueuePolicy::Backpressure),
        "{edge} may lose messages: give it `queue_policy: backpressure` and `queue_size: {MIN_QUEUE_SIZE}`"
    );
    let size = edge.input.queue_size.unwrap_or(10);
    ensure!(
        size >= MIN_QUEUE_SIZE,
        "{edge}: queue_size is {size}, give it {MIN_QUEUE_SIZE} or more"
    );
    Ok(())
}

#[cfg(test)]
#[path = "wiring_tests.rs"]
mod tests;
