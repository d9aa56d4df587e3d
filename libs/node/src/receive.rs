//! Receiving: messages by input, each in its turn, and what may happen instead.

use std::time::{Duration, Instant};

use arrow::array::StructArray;
use eyre::{WrapErr, bail, ensure, eyre};
use tracing::{info, warn};
use vrft_messages::Message;

use crate::Node;
use crate::edge::Inbox;
use crate::link::LinkEvent;
use crate::live::Live;
use crate::node::node_of;
use crate::ports::{AnyInput, Input};

/// How long messages of an exited sender may still be on their way.
const CLOSING_GRACE: Duration = Duration::from_secs(5);

/// Live messages that may wait while the node is busy; of more, the newest are kept.
const MAX_LIVE: usize = 16;

/// How long messages that arrived before a stop may take from dora to the node.
const REST_GRACE: Duration = Duration::from_millis(200);

/// What a node says of a sender that failed before it had sent everything.
pub const NO_END_MARKER: &str = "ended without an end marker";

/// What waiting for a message led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Waited {
    /// This input has a message.
    Message(String),
    /// Nothing more will come on this input. Told once.
    Ended(String),
    /// The sender of this input is gone, and the run can do without it. Told once.
    Lost(String),
    /// The time is up.
    Nothing,
    /// All inputs have ended, or the run was asked to stop.
    Over,
}

/// What waiting for one event of the link led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Polled {
    /// An event came and was taken in.
    Event,
    /// No event came in time.
    TimedOut,
    /// No event will come any more.
    Over,
}

impl Node {
    /// Whether somebody asked the run to stop (Ctrl-C, `dora stop`). Looks without waiting.
    ///
    /// # Errors
    /// As [`Node::recv`].
    pub fn stop_requested(&mut self) -> eyre::Result<bool> {
        while !self.stopped && self.poll(Instant::now())? == Polled::Event {}
        Ok(self.stopped)
    }

    /// The next message of an input; `None` once the input has ended or the run was asked to stop.
    ///
    /// Messages of other inputs that arrive meanwhile wait for their turn.
    ///
    /// # Errors
    /// A lost, repeated or invalid message, a wrong schema, a failed neighbor, an input that broke off.
    pub fn recv<M: Message>(&mut self, input: &Input<M>) -> eyre::Result<Option<M>> {
        Ok(self.recv_any(std::slice::from_ref(input))?.map(|(_, message)| message))
    }

    /// The next message of any of these inputs, with the name of its input.
    ///
    /// # Errors
    /// As [`Node::recv`].
    pub fn recv_any<M: Message>(
        &mut self,
        inputs: &[Input<M>],
    ) -> eyre::Result<Option<(String, M)>> {
        let names: Vec<&str> = inputs.iter().map(Input::name).collect();
        loop {
            match self.wait_for(&names, None)? {
                Waited::Message(input) => return self.take(&input),
                Waited::Over => return Ok(None),
                Waited::Ended(_) | Waited::Lost(_) | Waited::Nothing => {}
            }
        }
    }

    /// Messages of these inputs that came before the run was asked to stop and were not received yet. dora delivers
    /// nothing after a stop.
    ///
    /// # Errors
    /// As [`Node::recv`].
    pub fn rest<M: Message>(&mut self, inputs: &[Input<M>]) -> eyre::Result<Vec<(String, M)>> {
        while self.poll(Instant::now() + REST_GRACE)? == Polled::Event {}
        let mut rest = Vec::new();
        for input in inputs {
            while let Some(taken) = self.take(input.name())? {
                rest.push(taken);
            }
        }
        Ok(rest)
    }

    /// Whether the sender of an input has said that nothing more will come.
    pub fn has_ended<M>(&mut self, input: &Input<M>) -> bool {
        self.inbox(input.name()).ended
    }

    /// Waits until one of these inputs has a message, ends or has lost its sender, at most until then, or until
    /// something live comes.
    ///
    /// # Errors
    /// As [`Node::recv`].
    pub fn wait(
        &mut self,
        inputs: &[&dyn AnyInput],
        until: Option<Instant>,
    ) -> eyre::Result<Waited> {
        let names: Vec<&str> = inputs.iter().map(|input| input.name()).collect();
        self.wait_for(&names, until)
    }

    pub(crate) fn wait_for(
        &mut self,
        inputs: &[&str],
        until: Option<Instant>,
    ) -> eyre::Result<Waited> {
        let mut grace: Option<Instant> = None;
        loop {
            if let Some(waited) = self.ready(inputs, until.is_some()) {
                return Ok(waited);
            }
            let open: Vec<&str> =
                inputs.iter().copied().filter(|input| !self.inbox(input).ended).collect();
            if open.is_empty() {
                return Ok(Waited::Over);
            }
            let broken = open.iter().copied().find(|input| self.inbox(input).closed);
            // An end marker that was overtaken by its closing event may have come meanwhile.
            grace = broken.map(|_| grace.unwrap_or(Instant::now() + CLOSING_GRACE));
            let wake = [grace, until].into_iter().flatten().fold(self.pulse.0, Instant::min);
            let polled = self.poll(wake)?;
            if let Some(input) = broken
                && (polled == Polled::Over || grace.is_some_and(|until| until <= Instant::now()))
            {
                let source = self.link.source(input);
                if self.inbox(input).may_miss() {
                    self.inbox(input).ended = true;
                    continue;
                }
                ensure!(self.can_lose(&source), "{source} {NO_END_MARKER}");
                self.lose(&source, &format!("it {NO_END_MARKER}"));
            }
            match polled {
                Polled::Over if open.iter().all(|input| self.inbox(input).may_miss()) => {
                    return Ok(Waited::Over);
                }
                Polled::Over if !self.stopped => {
                    bail!("the dataflow ended while {open:?} still expected messages")
                }
                Polled::TimedOut if until.is_some_and(|until| until <= Instant::now()) => {
                    return Ok(Waited::Nothing);
                }
                Polled::TimedOut if self.pulse.0 <= Instant::now() => self.send_pulses()?,
                _ => {}
            }
        }
    }

    /// What there is without waiting: a stop, a message, a loss, an end, or something live where that is wanted.
    fn ready(&mut self, inputs: &[&str], wants_live: bool) -> Option<Waited> {
        if self.stopped {
            return Some(Waited::Over);
        }
        if let Some(input) = inputs.iter().find(|input| !self.inbox(input).waiting.is_empty()) {
            return Some(Waited::Message((*input).to_owned()));
        }
        if let Some(at) = self.losses.iter().position(|lost| inputs.contains(&lost.as_str())) {
            return Some(Waited::Lost(self.losses.remove(at)));
        }
        if let Some(input) = inputs.iter().find(|input| self.inbox(input).ends_untold()) {
            return Some(Waited::Ended((*input).to_owned()));
        }
        let has_live = !self.live.is_empty() || !self.gone.is_empty();
        (wants_live && has_live).then_some(Waited::Nothing)
    }

    /// Whether the run can do without the node of this `node/output`.
    fn can_lose(&self, source: &str) -> bool {
        self.expendable.contains(node_of(source))
    }

    /// Goes on without the node of this `node/output`: nothing more is expected from it.
    fn lose(&mut self, source: &str, why: &str) {
        let sender = node_of(source);
        for input in self.link.inputs() {
            if node_of(&self.link.source(&input)) == sender && !self.inbox(&input).ended {
                warn!(node = sender, input, why, "Lost a node; going on without it.");
                let inbox = self.inbox(&input);
                inbox.ended = true;
                inbox.lost = true;
                inbox.told = true;
                self.losses.push(input);
            }
        }
    }

    /// The message that waits on an input.
    pub(crate) fn take<M: Message>(&mut self, input: &str) -> eyre::Result<Option<(String, M)>> {
        let Some((header, data)) = self.inbox(input).waiting.pop_front() else { return Ok(None) };
        let context = || format!("input {input:?} from {}", self.link.source(input));
        header.check_schema(M::NAME).wrap_err_with(context)?;
        let message = M::from_arrow(&data).wrap_err_with(context)?;
        Ok(Some((input.to_owned(), message)))
    }

    /// Takes in one event, waiting for it until then.
    pub(crate) fn poll(&mut self, until: Instant) -> eyre::Result<Polled> {
        match self.link.next(until.saturating_duration_since(Instant::now())) {
            LinkEvent::Message { input, header, data } => {
                let source = self.link.source(&input);
                let accepted = self.inbox(&input).accept(header, data);
                if let Err(error) = accepted {
                    let edge = format!("edge {source} -> {}/{input}", self.id);
                    if !self.can_lose(&source) {
                        return Err(error.wrap_err(edge));
                    }
                    self.lose(&source, &format!("{edge}: {error}"));
                }
            }
            LinkEvent::Malformed { input, why } => {
                let source = self.link.source(&input);
                bail!("edge {source} -> {}/{input}: {why}", self.id)
            }
            LinkEvent::Live { input, tags, data } => {
                if self.live.len() == MAX_LIVE {
                    self.live.pop_front();
                }
                self.live.push_back(Live { input, tags, data });
            }
            LinkEvent::Closed { input } if self.link.is_foreign(&input) => {
                self.gone.push_back(input);
            }
            LinkEvent::Closed { input } => self.inbox(&input).closed = true,
            LinkEvent::Failed { node, error } if self.expendable.contains(&node) => {
                self.lose(&node, error.lines().next().unwrap_or_default());
            }
            LinkEvent::Failed { node, error } if !self.stopped => {
                let cause = error.lines().next().unwrap_or_default().to_owned();
                return Err(eyre!("{cause}")
                    .wrap_err(format!("node {node:?} failed, so {:?} stops", self.id)));
            }
            LinkEvent::Failed { .. } => {}
            LinkEvent::Restarted { node } => self.expect_again(&node),
            LinkEvent::Stop => {
                info!("Asked to stop.");
                self.stopped = true;
            }
            LinkEvent::Timeout => return Ok(Polled::TimedOut),
            LinkEvent::Over => return Ok(Polled::Over),
        }
        Ok(Polled::Event)
    }

    /// A node is started again: its metrics begin anew. All else that it sends, and loses, is missed as before.
    fn expect_again(&mut self, node: &str) {
        for input in self.link.inputs() {
            let is_of_node = node_of(&self.link.source(&input)) == node;
            if is_of_node && self.ports.carries_metrics(&input) {
                warn!(node, input, "A node is started again; its metrics begin anew.");
                self.inbox(&input).may_begin_again();
            }
        }
    }

    pub(crate) fn inbox(&mut self, input: &str) -> &mut Inbox<StructArray> {
        if !self.inboxes.contains_key(input) {
            let live = self.link.is_live(input);
            self.inboxes.insert(input.to_owned(), Inbox::new(live));
        }
        self.inboxes.get_mut(input).expect("was just inserted")
    }
}
