//! A node without dora: messages in memory, for tests of `run` functions.
//!
//! ```
//! use vrft_messages::Credit;
//! # fn main() -> eyre::Result<()> {
//! let credit = Credit { prompts: 2, policy_version: 0, first_prompt_id: 0 };
//! let (mut node, sent) = vrft_node::testing::Script::new().message("credit", &credit).end("credit").node();
//! assert_eq!(node.recv::<Credit>("credit")?, Some(credit));
//! node.send("echo", &credit)?;
//! assert_eq!(node.recv::<Credit>("credit")?, None);
//! assert_eq!(sent.all::<Credit>("echo"), [credit]);
//! # Ok(())
//! # }
//! ```

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::rc::Rc;

use arrow::array::{ArrayRef, StructArray};
use vrft_messages::Message;
use vrft_messages::hub::Tags;

use crate::edge::{Header, Kind};
use crate::link::{Link, LinkEvent};
use crate::node::Node;

/// What arrives at the node under test, in order.
#[derive(Default)]
pub struct Script {
    events: VecDeque<LinkEvent>,
    sequences: BTreeMap<String, i64>,
    run_dir: Option<PathBuf>,
    expendable: BTreeSet<String>,
    live: bool,
    foreign: BTreeSet<String>,
}

/// What the node under test sent.
#[derive(Clone, Default)]
pub struct Sent(Rc<RefCell<Vec<(String, Header, StructArray)>>>, Rc<RefCell<Vec<SentLive>>>);

/// Output, metadata and data of something that was sent to a node that is not ours.
pub type SentLive = (String, Tags, ArrayRef);

impl Script {
    /// Nothing arrives yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Where the node may write.
    #[must_use]
    pub fn run_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.run_dir = Some(dir.into());
        self
    }

    /// A message arrives.
    #[must_use]
    pub fn message<M: Message>(mut self, input: &str, message: &M) -> Self {
        let header = Header::new(M::NAME, self.next_sequence(input), Kind::Message);
        let (input, data) = (input.to_owned(), message.to_arrow());
        self.events.push_back(LinkEvent::Message { input, header, data });
        self
    }

    /// Something arrives from a node that is not ours.
    #[must_use]
    pub fn foreign(mut self, input: &str, (tags, data): (Tags, ArrayRef)) -> Self {
        self.foreign.insert(input.to_owned());
        self.events.push_back(LinkEvent::Live { input: input.to_owned(), tags, data });
        self
    }

    /// A node that is not ours is gone.
    #[must_use]
    pub fn gone(mut self, input: &str) -> Self {
        self.foreign.insert(input.to_owned());
        self.close(input)
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

    /// A neighbor fails.
    #[must_use]
    pub fn failure(mut self, node: &str) -> Self {
        let error = "killed by signal 9".to_owned();
        self.events.push_back(LinkEvent::Failed { node: node.to_owned(), error });
        self
    }

    /// Somebody asks the run to stop.
    #[must_use]
    pub fn stop(mut self) -> Self {
        self.events.push_back(LinkEvent::Stop);
        self
    }

    /// The sender of an input exits without an end marker.
    #[must_use]
    pub fn close(mut self, input: &str) -> Self {
        self.events.push_back(LinkEvent::Closed { input: input.to_owned() });
        self
    }

    /// The node, and what it will have sent.
    pub fn node(self) -> (Node, Sent) {
        let sent = Sent::default();
        let run_dir = self.run_dir.unwrap_or_else(std::env::temp_dir);
        let inputs = self.sequences.keys().cloned().collect();
        let expendable = self.expendable;
        let link = MemoryLink {
            inputs,
            events: self.events,
            sent: sent.clone(),
            replicas: expendable.clone(),
            live: self.live,
            foreign: self.foreign,
        };
        let node = Node::over(Box::new(link), "tested".to_owned(), run_dir);
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
        let sent = self.0.borrow();
        sent.iter()
            .filter(|(to, header, _)| to == output && header.kind == Kind::Message)
            .map(|(_, _, data)| M::from_arrow(data).expect("the node sent a valid message"))
            .collect()
    }

    /// Everything that was sent to nodes that are not ours.
    pub fn foreign(&self) -> Vec<SentLive> {
        self.1.borrow().clone()
    }

    /// Whether the end marker of an output was sent.
    pub fn ended(&self, output: &str) -> bool {
        self.0.borrow().iter().any(|(to, header, _)| to == output && header.kind == Kind::End)
    }
}

struct MemoryLink {
    inputs: Vec<String>,
    events: VecDeque<LinkEvent>,
    sent: Sent,
    replicas: BTreeSet<String>,
    live: bool,
    foreign: BTreeSet<String>,
}

impl Link for MemoryLink {
    fn next(&mut self, _patience: std::time::Duration) -> LinkEvent {
        self.events.pop_front().unwrap_or(LinkEvent::Over)
    }

    fn send(&mut self, output: &str, header: &Header, data: StructArray) -> eyre::Result<()> {
        self.sent.0.borrow_mut().push((output.to_owned(), header.clone(), data));
        Ok(())
    }

    fn source(&self, input: &str) -> String {
        let sender = if self.replicas.contains(input) { input } else { "script" };
        format!("{sender}/{input}")
    }

    fn send_live(&mut self, output: &str, tags: Tags, data: ArrayRef) -> eyre::Result<()> {
        self.sent.1.borrow_mut().push((output.to_owned(), tags, data));
        Ok(())
    }

    fn is_foreign(&self, input: &str) -> bool {
        self.foreign.contains(input)
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
        let sent = self.sent.0.borrow();
        let outputs: std::collections::BTreeSet<String> =
            sent.iter().map(|(output, _, _)| output.clone()).collect();
        outputs.into_iter().collect()
    }

    fn drops(&mut self) -> Vec<(String, u64)> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Arrival;
    use crate::Waited;
    use vrft_messages::Credit;

    const CREDIT: Credit = Credit { prompts: 1, policy_version: 0, first_prompt_id: 0 };

    #[track_caller]
    fn fails(script: Script, words: &str) {
        let (mut node, _sent) = script.node();
        let error = loop {
            match node.recv::<Credit>("credit") {
                Ok(Some(_)) => continue,
                Ok(None) => panic!("ended without an error"),
                Err(error) => break format!("{error:#}"),
            }
        };
        assert!(error.contains(words), "{error}");
    }

    #[test]
    fn a_lost_message_stops_the_node_and_names_the_edge() {
        let script =
            Script::new().message("credit", &CREDIT).lose("credit").message("credit", &CREDIT);
        fails(script, "edge script/credit -> tested/credit: expected message 1, got 2: 1 lost");
    }

    #[test]
    fn a_failed_neighbor_is_named() {
        fails(Script::new().failure("rollout"), "node \"rollout\" failed");
    }

    #[test]
    fn an_input_that_breaks_off_is_an_error() {
        fails(Script::new().close("credit"), "script/credit ended without an end marker");
    }

    #[test]
    fn a_closing_event_may_overtake_the_end_marker() {
        let script = Script::new().close("a").end("a").message("b", &CREDIT).end("b");
        let (mut node, _sent) = script.node();
        let found = node.recv_any::<Credit>(&["a", "b"]).unwrap();
        assert_eq!(found, Some(("b".to_owned(), CREDIT)));
        assert_eq!(node.recv_any::<Credit>(&["a", "b"]).unwrap(), None);
    }

    #[test]
    fn a_replica_that_fails_is_told_once_and_the_others_go_on() {
        let script = Script::new().replica("a").replica("b").failure("a");
        let (mut node, _sent) = script.message("b", &CREDIT).end("b").node();
        assert_eq!(node.wait(&["a", "b"], None).unwrap(), Waited::Lost("a".to_owned()));
        assert_eq!(node.wait(&["a", "b"], None).unwrap(), Waited::Message("b".to_owned()));
        assert_eq!(node.recv::<Credit>("b").unwrap(), Some(CREDIT));
        assert_eq!(node.wait(&["a", "b"], None).unwrap(), Waited::Ended("b".to_owned()));
        assert_eq!(node.wait(&["a", "b"], None).unwrap(), Waited::Over);
    }

    #[test]
    fn a_replica_whose_messages_get_lost_counts_as_failed() {
        let script = Script::new().replica("a").lose("a").message("a", &CREDIT).end("b");
        let (mut node, _sent) = script.node();
        assert_eq!(node.wait(&["a", "b"], None).unwrap(), Waited::Lost("a".to_owned()));
    }

    #[test]
    fn waiting_has_an_end() {
        let (mut node, _sent) = Script::new().pause().end("a").node();
        let until = std::time::Instant::now();
        assert_eq!(node.wait(&["a"], Some(until)).unwrap(), Waited::Nothing);
    }

    #[test]
    fn a_live_input_may_begin_in_the_middle() {
        let script = Script::new().live().lose("credit").lose("credit").message("credit", &CREDIT);
        let (mut node, _sent) = script.end("credit").node();
        assert_eq!(node.recv::<Credit>("credit").unwrap(), Some(CREDIT));
        assert_eq!(node.recv::<Credit>("credit").unwrap(), None);
    }

    #[test]
    fn another_message_type_is_refused() {
        let version =
            vrft_messages::Checkpoint { version: 0, location: String::new(), last: false };
        fails(Script::new().message("credit", &version), "expected \"credit\" messages");
    }

    #[test]
    fn messages_of_other_inputs_wait_for_their_turn() {
        let other = Credit { prompts: 5, ..CREDIT };
        let script = Script::new().message("b", &other).message("a", &CREDIT).end("a").end("b");
        let (mut node, _sent) = script.node();
        assert_eq!(node.recv::<Credit>("a").unwrap(), Some(CREDIT));
        assert_eq!(node.recv::<Credit>("a").unwrap(), None);
        assert_eq!(node.recv::<Credit>("b").unwrap(), Some(other));
    }

    #[test]
    fn a_requested_stop_ends_the_messages() {
        let (mut node, _sent) = Script::new().stop().message("credit", &CREDIT).node();
        assert_eq!(node.recv::<Credit>("credit").unwrap(), None);
        assert!(node.stop_requested().unwrap());
    }

    #[test]
    fn what_is_not_ours_needs_no_header_and_its_source_may_go() {
        let script = Script::new().foreign("image", vrft_messages::hub::tick(3)).gone("image");
        let (mut node, sent) = script.message("credit", &CREDIT).end("credit").node();
        let patience = std::time::Duration::from_secs(5);
        let mut next = || node.recv_live::<Credit>(Some("credit"), patience).unwrap();
        assert!(
            matches!(next(), Arrival::Live(live) if vrft_messages::hub::frame_id(&live.tags) == Some("3"))
        );
        assert!(matches!(next(), Arrival::Gone(input) if input == "image"));
        assert!(matches!(next(), Arrival::Message(CREDIT)));
        assert!(matches!(next(), Arrival::End));
        node.send_live("tick", vrft_messages::hub::tick(1)).unwrap();
        node.finish().unwrap();
        assert_eq!(sent.foreign().len(), 1);
        assert!(!sent.ended("tick"));
    }

    #[test]
    fn finish_ends_every_output() {
        let (mut node, sent) = Script::new().node();
        node.send("credit", &CREDIT).unwrap();
        node.metric(1, "policy/kl", 0.5);
        node.send_metrics().unwrap();
        node.finish().unwrap();
        assert!(sent.ended("credit"));
    }
}
