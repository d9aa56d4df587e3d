//! Who is who in a graph: which nodes learn, and which nodes work for which learner.

use std::collections::{BTreeMap, BTreeSet};

use dora_message::config::InputMapping;
use dora_message::descriptor::{Descriptor, Node};
use vrft_messages::{Credit, Message, MetricBatch};

use crate::nodes::Declared;
use crate::ports::Carries;

/// A node of the graph, as far as other nodes need to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Name of the node in the graph.
    pub id: String,
    /// Name of the node's executable if it is one of this project's; else empty.
    pub executable: String,
    /// The word of its `args` that gives it its role, such as `sft`; empty for the usual role.
    pub role: String,
    /// Whether it learns: it gives credit.
    pub is_learner: bool,
    /// The machine that the graph puts it on; empty where the graph says nothing of machines.
    pub machine: String,
    /// The learners that it works for, itself if it is one: it stands between a learner's loader and that learner.
    pub learners: Vec<String>,
}

/// All nodes of a graph, in its order.
pub(crate) fn members(graph: &Descriptor) -> Vec<Member> {
    let edges = Edges::of(graph);
    let learns = |declared: &Declared<'_>| {
        declared.role.outputs.iter().any(|port| port.carries == Carries::Message(Credit::NAME))
    };
    let is_learner = |id: &str| {
        let node = graph.nodes.iter().find(|node| AsRef::<str>::as_ref(&node.id) == id);
        node.and_then(Declared::of).is_some_and(|declared| learns(&declared))
    };
    let loops: Vec<(&str, BTreeSet<&str>)> = graph
        .nodes
        .iter()
        .map(|node| node.id.as_ref())
        .filter(|id| is_learner(id))
        .map(|learner| (learner, edges.loop_of(learner)))
        .collect();
    let member = |node: &Node| {
        let declared = Declared::of(node);
        let id: &str = node.id.as_ref();
        let works_for = loops.iter().filter(|(_, members)| members.contains(id));
        Member {
            id: id.to_owned(),
            executable: declared.map_or("", |declared| declared.ports.executable).to_owned(),
            role: declared.map_or("", |declared| declared.role.argument).to_owned(),
            is_learner: is_learner(id),
            machine: machine(node),
            learners: works_for.map(|(learner, _)| (*learner).to_owned()).collect(),
        }
    };
    graph.nodes.iter().map(member).collect()
}

fn machine(node: &Node) -> String {
    let deploy = node.deploy.as_ref();
    deploy.and_then(|deploy| deploy.machine.clone()).unwrap_or_default()
}

/// The edges that carry what is learned from, by sender, and those that carry credit.
#[derive(Default)]
struct Edges<'a> {
    data: Vec<(&'a str, &'a str)>,
    credit: BTreeMap<&'a str, Vec<&'a str>>,
}

impl<'a> Edges<'a> {
    fn of(graph: &'a Descriptor) -> Self {
        let mut edges = Self::default();
        for node in &graph.nodes {
            for input in node.inputs.values() {
                let InputMapping::User(source) = &input.mapping else { continue };
                let sender = graph.nodes.iter().find(|sender| sender.id == source.source);
                let carries = sender.and_then(Declared::of);
                let carries = carries.and_then(|sender| sender.gives(source.output.as_ref()));
                let (from, to): (&str, &str) = (source.source.as_ref(), node.id.as_ref());
                match carries {
                    Some(Carries::Message(Credit::NAME)) => {
                        edges.credit.entry(from).or_default().push(to);
                    }
                    Some(Carries::Message(MetricBatch::NAME) | Carries::Nothing) => {}
                    _ => edges.data.push((from, to)),
                }
            }
        }
        edges
    }

    /// The nodes on the way from a learner's loaders to the learner, both included.
    fn loop_of(&self, learner: &'a str) -> BTreeSet<&'a str> {
        let loaders = self.credit.get(learner).map_or(&[][..], Vec::as_slice);
        let behind = self.reach(loaders, |(from, to)| (from, to));
        let before = self.reach(&[learner], |(from, to)| (to, from));
        let both = behind.intersection(&before).copied();
        both.chain([learner]).collect()
    }

    /// All nodes that edges lead to, taken in a direction.
    fn reach(
        &self,
        starts: &[&'a str],
        direction: impl Fn((&'a str, &'a str)) -> (&'a str, &'a str),
    ) -> BTreeSet<&'a str> {
        let mut found: BTreeSet<&str> = starts.iter().copied().collect();
        let mut open: Vec<&str> = starts.to_vec();
        while let Some(at) = open.pop() {
            let next = self.data.iter().map(|edge| direction(*edge)).filter(|edge| edge.0 == at);
            for (_, to) in next {
                if found.insert(to) {
                    open.push(to);
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(members: &[Member], id: &str) -> (bool, Vec<String>) {
        let member = members.iter().find(|member| member.id == id).unwrap();
        (member.is_learner, member.learners.clone())
    }

    #[test]
    fn each_learner_has_the_nodes_that_lead_to_it() {
        let text =
            std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../dataflow.yml"));
        let members = members(&yaml_serde::from_str(&text.unwrap()).unwrap());
        let working_for = |learner: &str| -> Vec<&str> {
            let of = members.iter().filter(|member| member.learners == [learner]);
            of.map(|member| member.id.as_str()).collect()
        };
        let all = ["loader", "rollout", "reward", "advantage", "learner"];
        assert_eq!(working_for("learner"), all);
        assert_eq!(working_for("sft"), ["sft_loader", "sft"]);
        assert_eq!(of(&members, "sft"), (true, vec!["sft".to_owned()]));
        assert_eq!(of(&members, "monitor"), (false, vec![]));
        let sft = members.iter().find(|member| member.id == "sft").unwrap();
        assert_eq!((sft.executable.as_str(), sft.role.as_str()), ("vrft-learner", "sft"));
    }
}
