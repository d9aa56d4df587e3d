//! A node without dora: messages in memory, for tests of `run` functions.
//!
//! ```
//! use vrft_messages::Credit;
//! use vrft_node::ports::{Input, Output, Port, Ports, Role};
//! use vrft_node::testing::Script;
//!
//! const CREDITS: &[Port] = &[Port::of::<Credit>("credit", "in and out")];
//! const PORTS: Ports =
//!     Ports { roles: &[Role { inputs: CREDITS, outputs: CREDITS, ..Role::EMPTY }], ..Ports::EMPTY };
//! const IN: Input<Credit> = PORTS.input("credit");
//! const OUT: Output<Credit> = PORTS.output("credit");
//!
//! # fn main() -> eyre::Result<()> {
//! let credit = Credit { prompts: 2, policy_version: 0, first_prompt_id: 0 };
//! let (mut node, sent) = Script::new(&PORTS).message("credit", &credit).end("credit").node();
//! assert_eq!(node.recv(&IN)?, Some(credit));
//! node.send(&OUT, &credit)?;
//! assert_eq!(node.recv(&IN)?, None);
//! assert_eq!(sent.all::<Credit>("credit"), [credit]);
//! # Ok(())
//! # }
//! ```

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::{ArrayRef, StructArray};
use vrft_messages::Message;
use vrft_messages::hub::Tags;

use crate::edge::{Header, Kind};
use crate::graph::Member;
use crate::link::{Link, LinkEvent};
use crate::node::Node;
use crate::ports::Ports;

/// What arrives at the node under test, in order.
///
/// Inputs and outputs are named as in a graph: a test plays the other nodes, who may send what they should not.
pub struct Script {
    ports: &'static Ports,
    events: VecDeque<LinkEvent>,
    sequences: BTreeMap<String, i64>,
    run_dir: Option<PathBuf>,
    expendable: BTreeSet<String>,
    live: bool,
    members: Vec<Member>,
}

/// What the node under test sent.
#[derive(Clone, Default)]
pub struct Sent(Arc<Mutex<Vec<(String, Header, StructArray)>>>, Arc<Mutex<Vec<SentLive>>>);

/// Output, metadata and data of something that was sent in a convention of dora's hub.
pub type SentLive = (String, Tags, ArrayRef);

impl Script {
    /// Nothing arrives yet at a node with these ports.
    pub fn new(ports: &'static Ports) -> Self {
        Self {
            ports,
            events: VecDeque::new(),
            sequences: BTreeMap::new(),
            run_dir: None,
            expendable: BTreeSet::new(),
            live: false,
            members: Vec::new(),
        }
    }

    /// Sets the nodes of the graph.
    #[must_use]
    pub fn members(mut self, members: &[Member]) -> Self {
        self.members = members.to_vec();
        self
    }

    /// Sets the run folder, where the node may write.
    #[must_use]
    pub fn run_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.run_dir = Some(dir.into());
        self
    }

    /// The next event: a message arrives.
    #[must_use]
    pub fn message<M: Message>(mut self, input: &str, message: &M) -> Self {
        let header = Header::new(M::NAME, self.next_sequence(input), Kind::Message);
        let input = input.to_owned();
        let data = message.to_arrow();
        self.events.push_back(LinkEvent::Message { input, header, data });
        self
    }

    /// Something arrives in a convention of dora's hub.
    #[must_use]
    pub fn live_data(mut self, input: &str, (tags, data): (Tags, ArrayRef)) -> Self {
        self.events.push_back(LinkEvent::Live { input: input.to_owned(), tags, data });
        self
    }

    /// The end marker of an input arrives.
    #[must_use]
    pub fn end(mut self, input: &str) -> Self {
        let header = Header::new("", self.next_sequence(input), Kind::End);
        let data = StructArray::new_null(Default::default(), 1);
        self.events.push_back(LinkEvent::Message { input: input.to_owned(), header, data });
        self
    }

    /// A message of this input is lost.
    #[must_use]
    pub fn lose(mut self, input: &str) -> Self {
        self.next_sequence(input);
        self
    }

    /// Time passes in which nothing arrives.
    #[must_use]
    pub fn pause(mut self) -> Self {
        self.events.push_back(LinkEvent::Timeout);
        self
    }

    /// The run can do without the node that sends this input; inputs here come from nodes of their own name.
    #[must_use]
    pub fn replica(mut self, input: &str) -> Self {
        self.sequences.entry(input.to_owned()).or_insert(0);
        self.expendable.insert(input.to_owned());
        self
    }

    /// Messages may be missing on every input.
    #[must_use]
    pub fn live(mut self) -> Self {
        self.live = true;
        self
    }

    /// The next event: a neighbor fails.
    #[must_use]
    pub fn failure(mut self, node: &str) -> Self {
        let error = "killed by signal 9".to_owned();
        self.events.push_back(LinkEvent::Failed { node: node.to_owned(), error });
        self
    }

    /// The next event: a neighbor that had ended is started again.
    #[must_use]
    pub fn restart(mut self, node: &str) -> Self {
        self.sequences.values_mut().for_each(|next| *next = 0);
        self.events.push_back(LinkEvent::Restarted { node: node.to_owned() });
        self
    }

    /// Somebody asks the run to stop.
    #[must_use]
    pub fn stop(mut self) -> Self {
        self.events.push_back(LinkEvent::Stop);
        self
    }

    /// The sender of an input exits, without an end marker.
    #[must_use]
    pub fn close(mut self, input: &str) -> Self {
        self.events.push_back(LinkEvent::Closed { input: input.to_owned() });
        self
    }

    /// The node, and what it will have sent.
    pub fn node(self) -> (Node, Sent) {
        let sent = Sent::default();
        let has_folder = self.run_dir.is_some();
        let run_dir = self.run_dir.unwrap_or_else(std::env::temp_dir);
        let inputs = self.sequences.keys().cloned().collect();
        let expendable = self.expendable;
        let link = MemoryLink {
            inputs,
            events: self.events,
            sent: sent.clone(),
            replicas: expendable.clone(),
            live: self.live,
            ports: self.ports,
            members: self.members,
        };
        let mut node = Node::over(Box::new(link), self.ports, "tested".to_owned(), run_dir);
        node.metrics.are_left = has_folder;
        (node.without(expendable), sent)
    }

    fn next_sequence(&mut self, input: &str) -> i64 {
        let next = self.sequences.entry(input.to_owned()).or_insert(0);
        *next += 1;
        *next - 1
    }
}

impl Sent {
    /// All messages of an output, in order.
    ///
    /// # Panics
    /// On a message that is not an `M`.
    #[track_caller]
    pub fn all<M: Message>(&self, output: &str) -> Vec<M> {
        let sent = lock(&self.0);
        sent.iter()
            .filter(|(to, header, _)| to == output && header.kind == Kind::Message)
            .map(|(_, _, data)| M::from_arrow(data).expect("the node sent a valid message"))
            .collect()
    }

    /// Everything that was sent in a convention of dora's hub.
    pub fn live_data(&self) -> Vec<SentLive> {
        lock(&self.1).clone()
    }

    /// Whether the end marker of an output was sent.
    pub fn ended(&self, output: &str) -> bool {
        lock(&self.0).iter().any(|(to, header, _)| to == output && header.kind == Kind::End)
    }
}

/// What is behind a lock, also where a test panicked while it held it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct MemoryLink {
    inputs: Vec<String>,
    events: VecDeque<LinkEvent>,
    sent: Sent,
    replicas: BTreeSet<String>,
    live: bool,
    ports: &'static Ports,
    members: Vec<Member>,
}

impl Link for MemoryLink {
    fn next(&mut self, _patience: std::time::Duration) -> LinkEvent {
        self.events.pop_front().unwrap_or(LinkEvent::Over)
    }

    fn send(&mut self, output: &str, header: &Header, data: StructArray) -> eyre::Result<()> {
        lock(&self.sent.0).push((output.to_owned(), header.clone(), data));
        Ok(())
    }

    fn source(&self, input: &str) -> String {
        let sender = if self.replicas.contains(input) { input } else { "script" };
        format!("{sender}/{input}")
    }

    fn send_live(&mut self, output: &str, tags: Tags, data: ArrayRef) -> eyre::Result<()> {
        lock(&self.sent.1).push((output.to_owned(), tags, data));
        Ok(())
    }

    fn is_foreign(&self, input: &str) -> bool {
        self.ports.is_of_hub(input)
    }

    fn is_live(&self, _input: &str) -> bool {
        self.live
    }

    fn inputs(&self) -> Vec<String> {
        self.inputs.clone()
    }

    fn declares(&self, _output: &str) -> bool {
        true
    }

    fn outputs(&self) -> Vec<String> {
        let sent = lock(&self.sent.0);
        let outputs: std::collections::BTreeSet<String> =
            sent.iter().map(|(output, _, _)| output.clone()).collect();
        outputs.into_iter().collect()
    }

    fn members(&self) -> Vec<Member> {
        self.members.clone()
    }

    fn drops(&mut self) -> Vec<(String, u64)> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests;
