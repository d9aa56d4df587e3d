//! What a training graph must look like. Checked by `vrft check`, before a run, and by every node when it joins.
//!
//! The rules know no node by name: they follow from what the nodes declare ([`crate::ports`]).

mod environment;

use std::collections::BTreeSet;

use dora_message::config::{Input, InputMapping, QueuePolicy, UserInputMapping};
use dora_message::descriptor::{Descriptor, Node};
use eyre::{ensure, eyre};
use vrft_messages::{Message, MetricBatch};

use crate::nodes::{self, Declared};
use crate::ports::{Carries, Port, WATCH};

pub use environment::check_environment;

/// Shortest queue of a training edge: a backpressure edge drops what is beyond ten times its queue.
const MIN_QUEUE_SIZE: usize = 16;

/// Checks every node and every edge.
///
/// # Errors
/// The first thing wrong, with node, edge and remedy.
pub fn check(graph: &Descriptor) -> eyre::Result<()> {
    environment::check_shared(graph)?;
    for node in &graph.nodes {
        if let Some(why) = nodes::unknown_package(node) {
            return Err(eyre!("{why}"));
        }
        if let Some(declared) = Declared::of(node) {
            check_ports(&declared)?;
            check_names(&declared)?;
            check_pairs(&declared)?;
            check_listeners(graph, &declared)?;
        }
        for (id, input) in &node.inputs {
            match &input.mapping {
                InputMapping::User(source) => {
                    check_edge(graph, &Edge { node, id: id.as_ref(), input, source })?;
                }
                _ => check_sender(node, id.as_ref())?,
            }
        }
    }
    // Last: an edge that carries the wrong thing is the better explanation of a missing answer.
    graph.nodes.iter().filter_map(Declared::of).try_for_each(|it| check_answers(graph, &it))
}

/// Nodes that share their messages with others like them: the run can do without one of them.
pub fn replicas(graph: &Descriptor) -> BTreeSet<String> {
    let declared = graph.nodes.iter().filter_map(Declared::of);
    let shares = declared.flat_map(|declared| {
        let inputs = declared.paired_inputs();
        inputs.filter_map(move |id| source(declared.node.inputs.get(id)?))
    });
    shares.map(|source| source.source.to_string()).collect()
}

/// Names of the inputs of a node that belong to outputs of the same name, as those of a rollout's tools; none of a node that
/// is not of this project.
pub fn paired_inputs(node: &Node) -> impl Iterator<Item = &str> {
    Declared::of(node).into_iter().flat_map(|declared| declared.paired_inputs())
}

fn source(input: &Input) -> Option<&UserInputMapping> {
    match &input.mapping {
        InputMapping::User(source) => Some(source),
        _ => None,
    }
}

/// Whether messages on this input of a node may be dropped: a camera's frames, a late monitor's numbers.
fn may_drop(node: &Node, input: &str) -> bool {
    let is_late = node.path.as_deref() == Some("dynamic");
    let declared = Declared::of(node);
    let of_port = declared.is_some_and(|declared| {
        let port = declared.role.inputs.iter().find(|port| port.name == input);
        let others = declared.role.other_inputs.filter(|_| input != WATCH.name);
        port.map_or_else(|| others.is_some_and(|others| others.may_drop), |port| port.may_drop)
    });
    is_late || of_port
}

/// A timer, or what else dora itself sends, is no message of this project.
fn check_sender(node: &Node, input: &str) -> eyre::Result<()> {
    let carries = Declared::of(node).and_then(|declared| declared.takes(input));
    ensure!(
        !matches!(carries, Some(Carries::Message(_))),
        "node {:?}: its input {input:?} takes {}, which neither a timer nor dora's logs are: connect it to an output of a node",
        node.id.to_string(),
        carries.map(|carries| carries.to_string()).unwrap_or_default()
    );
    Ok(())
}

/// All required ports are there.
fn check_ports(declared: &Declared<'_>) -> eyre::Result<()> {
    let id = declared.node.id.to_string();
    let name = declared.ports.executable;
    let is_required = |port: &&Port| port.is_required;
    for port in declared.role.inputs.iter().filter(is_required) {
        let input = port.name;
        let carries = port.carries;
        ensure!(
            declared.node.inputs.keys().any(|id| AsRef::<str>::as_ref(id) == input),
            "node {id:?} ({name}) needs an input {input:?}: connect it to an output that carries {carries}"
        );
    }
    for port in declared.role.outputs.iter().filter(is_required) {
        ensure!(
            has_output(declared.node, port.name),
            "node {id:?} ({name}) needs an output {:?}: add it to its `outputs`",
            port.name
        );
    }
    if let Some(others) = &declared.role.other_inputs {
        let has_word = |input: &&str| {
            !others.word.is_empty() && AsRef::<str>::as_ref(input).contains(others.word)
        };
        let named = declared.node.inputs.keys().map(AsRef::<str>::as_ref).filter(has_word).count();
        let n = if others.word.is_empty() { declared.other_inputs().count() } else { named };
        ensure!(
            n >= others.at_least,
            "node {id:?} ({name}) needs an input that carries {}, by {}",
            others.carries,
            others.names()
        );
    }
    Ok(())
}

/// There is no port that the node would not know.
fn check_names(declared: &Declared<'_>) -> eyre::Result<()> {
    let node = declared.node;
    let name = declared.ports.executable;
    let id = node.id.to_string();
    for input in node.inputs.keys().map(AsRef::<str>::as_ref) {
        let names = || declared.role.inputs.iter().map(|port| port.name).collect::<Vec<_>>();
        let others = declared.role.other_inputs.map(|others| format!(" and {}", others.names()));
        ensure!(
            declared.takes(input).is_some(),
            "node {id:?} ({name}) has no input {input:?}; it takes {:?}{}",
            names(),
            others.unwrap_or_default()
        );
    }
    let logs = [&node.send_logs_as, &node.send_stdout_as];
    for output in node.outputs.iter().map(AsRef::<str>::as_ref) {
        let names = || declared.role.outputs.iter().map(|port| port.name).collect::<Vec<_>>();
        let is_log = logs.iter().any(|log| log.as_deref() == Some(output));
        ensure!(
            is_log || declared.gives(output).is_some(),
            "node {id:?} ({name}) has no output {output:?}; it gives {:?}",
            names()
        );
    }
    Ok(())
}

/// A node that distributes work has, for each helper, an output and an input of the same name.
fn check_pairs(declared: &Declared<'_>) -> eyre::Result<()> {
    let id = declared.node.id.to_string();
    let name = declared.ports.executable;
    let carries = declared.role.other_outputs.map(|others| others.carries.to_string());
    for input in declared.paired_inputs() {
        ensure!(
            has_output(declared.node, input),
            "node {id:?} ({name}) has an input {input:?} but no output {input:?}: add it, it carries the share of the \
             {} that is answered by that input",
            carries.unwrap_or_default()
        );
    }
    Ok(())
}

/// An output that a node waits to have answered is connected: credit that no node receives is never used.
fn check_listeners(graph: &Descriptor, declared: &Declared<'_>) -> eyre::Result<()> {
    let id = declared.node.id.to_string();
    let name = declared.ports.executable;
    for port in declared.role.outputs.iter().filter(|port| port.needs_listener) {
        let output = port.name;
        let listeners = nodes::ALL.iter().filter(|ports| {
            ports
                .roles
                .iter()
                .flat_map(|role| role.inputs)
                .any(|input| input.carries == port.carries)
        });
        let listeners: Vec<&str> = listeners.map(|ports| ports.executable).collect();
        ensure!(
            graph.nodes.iter().any(|other| listens(other, &id, output)),
            "node {id:?} ({name}): no node receives its {output}, so it would wait forever: give its {} an input \
             `{output}: {{source: {id}/{output}, queue_size: {MIN_QUEUE_SIZE}, queue_policy: backpressure}}`",
            listeners.join(" or ")
        );
    }
    Ok(())
}

/// The node that sends a request gets the answer: credit comes from the learner that receives the prompts.
fn check_answers(graph: &Descriptor, declared: &Declared<'_>) -> eyre::Result<()> {
    let id = declared.node.id.to_string();
    for port in declared.role.inputs {
        let Some(answer) = port.answered_by else { continue };
        let input =
            declared.node.inputs.iter().find(|(id, _)| AsRef::<str>::as_ref(*id) == port.name);
        let Some(sender) = input.and_then(|(_, input)| source(input)) else { continue };
        let from = sender.source.to_string();
        let Some(asks) = graph.nodes.iter().find(|node| node.id == sender.source) else { continue };
        ensure!(
            Declared::of(asks).is_none() || listens(asks, &id, answer),
            "edge {from}/{0} -> {id}/{1}: {from:?} gives {0} but does not get the {answer}: give it an input \
             `{answer}` from {id}/{answer}",
            sender.output,
            port.name
        );
    }
    Ok(())
}

fn has_output(node: &Node, output: &str) -> bool {
    node.outputs.iter().any(|id| AsRef::<str>::as_ref(id) == output)
}

fn listens(node: &Node, from: &str, output: &str) -> bool {
    node.inputs.values().filter_map(source).any(|source| {
        AsRef::<str>::as_ref(&source.source) == from
            && AsRef::<str>::as_ref(&source.output) == output
    })
}

/// One edge of the graph, as its receiving node declares it.
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
    let gives = Declared::of(sender).and_then(|sender| sender.gives(output));
    let receiver = Declared::of(edge.node);
    let takes = receiver.and_then(|receiver| receiver.takes(edge.id));
    if let (Some(gives), Some(takes)) = (gives, takes.filter(|takes| *takes != Carries::Nothing)) {
        ensure!(
            gives == takes,
            "{edge} carries {gives}, but {takes} is expected there: connect it to an output that carries {takes}"
        );
    }
    // Metrics for a monitor that is not ours may be lost; what is learned from may not, whichever node gets it.
    let is_metrics = gives == Some(Carries::Message(MetricBatch::NAME));
    let is_message = matches!(gives, Some(Carries::Message(_)));
    let must_arrive = receiver.is_some() || is_message && !is_metrics;
    if must_arrive && !may_drop(edge.node, edge.id) { check_queue(edge) } else { Ok(()) }
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
mod tests;
