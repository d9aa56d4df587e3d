//! [`Node`]: receive by input, send by output, end in order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use arrow::array::StructArray;
use eyre::{WrapErr, bail, ensure, eyre};
use tracing::{info, warn};
use vrft_config::Document;
use vrft_messages::Message;
use vrft_plan::{OnLoss, PoolConfig, RunConfig};

use crate::dora::DoraLink;
use crate::edge::{Header, Inbox, Kind};
use crate::link::{Link, LinkEvent};
use crate::live::Live;
use crate::metrics::Metrics;
use crate::stages::WATCH;

/// How long messages of an exited sender may still be on their way.
const CLOSING_GRACE: Duration = Duration::from_secs(5);

/// An idle node tells its neighbors so after this time, then after twice as long, and so on.
const FIRST_PULSE: Duration = Duration::from_secs(2);

/// Live messages that may wait while the node is busy; of more, the newest are kept.
const MAX_LIVE: usize = 16;

/// This process within the graph.
pub struct Node {
    pub(crate) link: Box<dyn Link>,
    id: String,
    run_dir: PathBuf,
    /// What nodes that are not ours sent, and which of them are gone.
    pub(crate) live: VecDeque<Live>,
    pub(crate) gone: VecDeque<String>,
    pub(crate) live_outputs: BTreeSet<String>,
    inboxes: BTreeMap<String, Inbox<StructArray>>,
    sent: BTreeMap<String, i64>,
    /// When the next pulse is due, and the pause before it.
    pub(crate) pulse: (Instant, Duration),
    pub(crate) stopped: bool,
    /// Nodes that the run can do without.
    expendable: BTreeSet<String>,
    /// Inputs whose sender was lost, until somebody is told.
    losses: Vec<String>,
    pub(crate) metrics: Metrics,
}

impl Node {
    /// Joins the dataflow. Load models first: dora starts the run when every node has joined.
    ///
    /// # Errors
    /// Not started by dora, or an edge of the graph that could lose messages.
    pub fn join(document: &Document) -> eyre::Result<Node> {
        Self::join_live(document, &[])
    }

    /// Joins with inputs from nodes that are not ours, by name; see [`Node::recv_live`].
    ///
    /// # Errors
    /// As [`Node::join`].
    pub fn join_live(document: &Document, live: &'static [&'static str]) -> eyre::Result<Node> {
        Self::joined(DoraLink::join(live)?, document)
    }

    /// Joins a dataflow that is running already, as the node of this name whose path is `dynamic`.
    ///
    /// # Errors
    /// No such node in the graph of a running dataflow.
    pub fn join_late(document: &Document, id: &str) -> eyre::Result<Node> {
        Self::joined(DoraLink::join_late(id)?, document)
    }

    fn joined(link: DoraLink, document: &Document) -> eyre::Result<Node> {
        let run_dir = crate::start::run_dir(&document.section::<RunConfig>()?, &link.dataflow_id());
        std::fs::create_dir_all(&run_dir)
            .wrap_err_with(|| format!("cannot make the run folder {run_dir:?}"))?;
        let id = link.node_id();
        info!(run_dir = %run_dir.display(), "Joined.");
        let expendable = match document.section::<PoolConfig>()?.on_loss {
            OnLoss::End => BTreeSet::new(),
            OnLoss::Survive => link.replicas()?,
        };
        Ok(Self::over(Box::new(link), id, run_dir).without(expendable))
    }

    pub(crate) fn over(link: Box<dyn Link>, id: String, run_dir: PathBuf) -> Node {
        Node {
            link,
            id,
            run_dir,
            live: VecDeque::new(),
            gone: VecDeque::new(),
            live_outputs: BTreeSet::new(),
            inboxes: BTreeMap::new(),
            sent: BTreeMap::new(),
            pulse: (Instant::now() + FIRST_PULSE, FIRST_PULSE),
            stopped: false,
            expendable: BTreeSet::new(),
            losses: Vec::new(),
            metrics: Metrics::default(),
        }
    }

    /// The same in a run that can do without these nodes.
    pub(crate) fn without(mut self, nodes: BTreeSet<String>) -> Node {
        self.expendable = nodes;
        self
    }

    /// Name of this node in the graph.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Folder that the run writes to.
    pub fn run_dir(&self) -> &Path {
        &self.run_dir
    }

    /// Name of the run folder: the same for all nodes of a run, on every machine.
    pub fn run_name(&self) -> String {
        self.run_dir.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Whether somebody asked the run to stop (Ctrl-C, `dora stop`). Looks without waiting.
    ///
    /// # Errors
    /// As [`Node::recv`].
    pub fn stop_requested(&mut self) -> eyre::Result<bool> {
        while !self.stopped && self.pump(Instant::now())? == Pumped::Event {}
        Ok(self.stopped)
    }

    /// The next message of an input; `None` once the input has ended or the run was asked to stop.
    ///
    /// Messages of other inputs that arrive meanwhile wait for their turn.
    ///
    /// # Errors
    /// A lost, repeated or invalid message, a wrong schema, a failed neighbor, an input that broke off.
    pub fn recv<M: Message>(&mut self, input: &str) -> eyre::Result<Option<M>> {
        Ok(self.recv_any(&[input])?.map(|(_, message)| message))
    }

    /// The next message of any of these inputs, with the name of its input.
    ///
    /// # Errors
    /// As [`Node::recv`].
    pub fn recv_any<M: Message>(&mut self, inputs: &[&str]) -> eyre::Result<Option<(String, M)>> {
        loop {
            match self.wait(inputs, None)? {
                Waited::Message(input) => return self.take(&input),
                Waited::Over => return Ok(None),
                Waited::Ended(_) | Waited::Lost(_) | Waited::Nothing => {}
            }
        }
    }

    /// Waits until one of these inputs has a message, ends or has lost its sender, at most until then, or until
    /// something live comes.
    ///
    /// # Errors
    /// As [`Node::recv`].
    pub fn wait(&mut self, inputs: &[&str], until: Option<Instant>) -> eyre::Result<Waited> {
        let mut grace: Option<Instant> = None;
        loop {
            if self.stopped {
                return Ok(Waited::Over);
            }
            if let Some(input) = inputs.iter().find(|input| !self.inbox(input).waiting.is_empty()) {
                return Ok(Waited::Message((*input).to_owned()));
            }
            if let Some(at) = self.losses.iter().position(|lost| inputs.contains(&lost.as_str())) {
                return Ok(Waited::Lost(self.losses.remove(at)));
            }
            if let Some(input) = inputs.iter().find(|input| self.inbox(input).ends_untold()) {
                return Ok(Waited::Ended((*input).to_owned()));
            }
            if until.is_some() && (!self.live.is_empty() || !self.gone.is_empty()) {
                return Ok(Waited::Nothing);
            }
            let open: Vec<String> = inputs
                .iter()
                .filter(|input| !self.inbox(input).ended)
                .map(ToString::to_string)
                .collect();
            if open.is_empty() {
                return Ok(Waited::Over);
            }
            let broken = open.iter().find(|input| self.inbox(input).closed);
            // An end marker that was overtaken by its closing event may have come meanwhile.
            grace = broken.map(|_| grace.unwrap_or(Instant::now() + CLOSING_GRACE));
            let wake = [grace, until].into_iter().flatten().fold(self.pulse.0, Instant::min);
            let pumped = self.pump(wake)?;
            if let Some(input) = broken
                && (pumped == Pumped::Over || grace.is_some_and(|until| until <= Instant::now()))
            {
                let source = self.link.source(input);
                ensure!(self.can_lose(&source), "{source} ended without an end marker");
                self.lose(&source, "it ended without an end marker");
            }
            match pumped {
                Pumped::Over if !self.stopped => {
                    bail!("the dataflow ended while {open:?} still expected messages")
                }
                Pumped::Nothing if until.is_some_and(|until| until <= Instant::now()) => {
                    return Ok(Waited::Nothing);
                }
                Pumped::Nothing if self.pulse.0 <= Instant::now() => self.send_pulses()?,
                _ => {}
            }
        }
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
    pub(crate) fn pump(&mut self, until: Instant) -> eyre::Result<Pumped> {
        match self.link.next(until.saturating_duration_since(Instant::now())) {
            LinkEvent::Message { input, header, data } => {
                let source = self.link.source(&input);
                let accepted = self.inbox(&input).accept(header, data);
                if let Err(error) = accepted {
                    let edge = format!("edge {source} -> {}/{input}", self.id);
                    match self.can_lose(&source) {
                        true => self.lose(&source, &format!("{edge}: {error}")),
                        false => return Err(error.wrap_err(edge)),
                    }
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
            LinkEvent::Stop => {
                info!("Asked to stop.");
                self.stopped = true;
            }
            LinkEvent::Timeout => return Ok(Pumped::Nothing),
            LinkEvent::Over => return Ok(Pumped::Over),
        }
        Ok(Pumped::Event)
    }

    /// Tells the receivers of all outputs which message they should have got last.
    ///
    /// The pauses double, so that pulses never fill the queue of a receiver that is busy for hours.
    pub(crate) fn send_pulses(&mut self) -> eyre::Result<()> {
        for (output, sequence) in self.sent.clone() {
            let header = Header::new("", sequence, Kind::Pulse);
            self.link.send(&output, &header, nothing())?;
        }
        let pause = self.pulse.1 * 2;
        self.pulse = (Instant::now() + pause, pause);
        Ok(())
    }

    /// Names of this node's inputs that carry messages, sorted: all but `watch`.
    pub fn inputs(&self) -> Vec<String> {
        self.link.inputs().into_iter().filter(|input| input != WATCH).collect()
    }

    /// Whether the graph declares this output; a test has every output.
    pub fn has_output(&self, output: &str) -> bool {
        self.link.declares(output)
    }

    fn inbox(&mut self, input: &str) -> &mut Inbox<StructArray> {
        if !self.inboxes.contains_key(input) {
            let live = self.link.is_live(input);
            self.inboxes.insert(input.to_owned(), Inbox::new(live));
        }
        self.inboxes.get_mut(input).expect("was just inserted")
    }

    /// Sends a message.
    ///
    /// # Errors
    /// An output that the graph does not declare, a message over dora's limit, a lost connection.
    pub fn send<M: Message>(&mut self, output: &str, message: &M) -> eyre::Result<()> {
        self.put(output, M::NAME, message.to_arrow(), Kind::Message)
    }

    fn put(
        &mut self,
        output: &str,
        schema: &str,
        data: StructArray,
        kind: Kind,
    ) -> eyre::Result<()> {
        let sequence = self.sent.entry(output.to_owned()).or_insert(0);
        let header = Header::new(schema, *sequence, kind);
        *sequence += 1;
        self.pulse = (Instant::now() + FIRST_PULSE, FIRST_PULSE);
        self.link
            .send(output, &header, data)
            .wrap_err_with(|| format!("{}/{output} cannot send", self.id))
    }

    /// Sends the metrics that remain and an end marker on every output; the last thing a node does.
    ///
    /// # Errors
    /// As [`Node::send`]. After a requested stop a neighbor may be gone already: that is no error.
    pub fn finish(mut self) -> eyre::Result<()> {
        let ended = self.send_metrics().and_then(|()| self.send_ends());
        self.log_counts();
        match ended {
            Err(error) if self.stopped => {
                info!(%error, "A neighbor had stopped already.");
                Ok(())
            }
            other => other,
        }
    }

    fn send_ends(&mut self) -> eyre::Result<()> {
        let outputs = self.link.outputs();
        for output in outputs
            .into_iter()
            .filter(|output| !self.live_outputs.contains(output))
            .collect::<Vec<_>>()
        {
            self.put(&output, "", nothing(), Kind::End)?;
        }
        Ok(())
    }

    /// Per-edge counters, so that a log shows what went over each edge.
    fn log_counts(&mut self) {
        let received: BTreeMap<&str, i64> = self
            .inboxes
            .iter()
            .map(|(input, inbox)| (input.as_str(), inbox.n_received()))
            .collect();
        info!(?received, sent = ?self.sent, "Messages, end markers included.");
        for (input, dropped) in self.link.drops() {
            warn!(input, dropped, "dora dropped messages.");
        }
    }
}

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

/// What became of waiting for an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pumped {
    /// One came.
    Event,
    /// None came in time.
    Nothing,
    /// None will come any more.
    Over,
}

/// The node of a `node/output`.
fn node_of(source: &str) -> &str {
    source.split('/').next().unwrap_or_default()
}

/// The data of a header without a message: dora carries no empty struct, hence one null.
fn nothing() -> StructArray {
    StructArray::new_null(Default::default(), 1)
}
