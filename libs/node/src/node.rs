//! [`Node`]: receive by input, send by output, end in order.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use arrow::array::StructArray;
use eyre::{WrapErr, bail, eyre};
use messages::Message;
use tracing::{info, warn};

use crate::dora::DoraLink;
use crate::edge::{Header, Inbox, Kind};
use crate::link::{Link, LinkEvent};
use crate::metrics::Metrics;

/// How long messages of an exited sender may still be on their way.
const CLOSING_GRACE: Duration = Duration::from_secs(5);

/// An idle node tells its neighbors so after this time, then after twice as long, and so on.
const FIRST_PULSE: Duration = Duration::from_secs(2);

/// This process within the graph.
pub struct Node {
    link: Box<dyn Link>,
    id: String,
    run_dir: PathBuf,
    inboxes: BTreeMap<String, Inbox<StructArray>>,
    sent: BTreeMap<String, i64>,
    /// When the next pulse is due, and the pause before it.
    pulse: (Instant, Duration),
    stopped: bool,
    pub(crate) metrics: Metrics,
}

impl Node {
    /// Joins the dataflow. Load models first: dora starts the run when every node has joined.
    ///
    /// # Errors
    /// Not started by dora, or an edge of the graph that could lose messages.
    pub fn join(config: &config::Config) -> eyre::Result<Node> {
        let link = DoraLink::join()?;
        let run_dir = crate::start::run_dir(config, &link.dataflow_id());
        std::fs::create_dir_all(&run_dir)
            .wrap_err_with(|| format!("cannot make the run folder {run_dir:?}"))?;
        let id = link.node_id();
        info!(run_dir = %run_dir.display(), "Joined.");
        Ok(Self::over(Box::new(link), id, run_dir))
    }

    pub(crate) fn over(link: Box<dyn Link>, id: String, run_dir: PathBuf) -> Node {
        Node {
            link,
            id,
            run_dir,
            inboxes: BTreeMap::new(),
            sent: BTreeMap::new(),
            pulse: (Instant::now() + FIRST_PULSE, FIRST_PULSE),
            stopped: false,
            metrics: Metrics::default(),
        }
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
        let mut grace: Option<Instant> = None;
        loop {
            if self.stopped {
                return Ok(None);
            }
            if let Some(found) = self.take(inputs)? {
                return Ok(Some(found));
            }
            let open: Vec<&str> =
                inputs.iter().copied().filter(|input| !self.inbox(input).ended).collect();
            if open.is_empty() {
                return Ok(None);
            }
            let broken =
                open.iter().find(|input| self.inbox(input).closed).map(ToString::to_string);
            // An end marker that was overtaken by its closing event may have come meanwhile.
            grace = broken.as_ref().map(|_| grace.unwrap_or(Instant::now() + CLOSING_GRACE));
            let open = format!("{open:?}");
            let pumped = self.pump(grace.unwrap_or(self.pulse.0).min(self.pulse.0))?;
            if let Some(input) = broken
                && (pumped == Pumped::Over || grace.is_some_and(|until| until <= Instant::now()))
            {
                let source = self.link.source(&input);
                bail!("{source} ended without an end marker");
            }
            match pumped {
                Pumped::Over if !self.stopped => {
                    bail!("the dataflow ended while {open} still expected messages")
                }
                Pumped::Nothing if self.pulse.0 <= Instant::now() => self.send_pulses()?,
                _ => {}
            }
        }
    }

    /// A waiting message of any of these inputs.
    fn take<M: Message>(&mut self, inputs: &[&str]) -> eyre::Result<Option<(String, M)>> {
        for input in inputs {
            if let Some((header, data)) = self.inbox(input).waiting.pop_front() {
                let context = || format!("input {input:?} from {}", self.link.source(input));
                header.check_schema(M::NAME).wrap_err_with(context)?;
                let message = M::from_arrow(&data).wrap_err_with(context)?;
                return Ok(Some(((*input).to_owned(), message)));
            }
        }
        Ok(None)
    }

    /// Takes in one event, waiting for it until then.
    fn pump(&mut self, until: Instant) -> eyre::Result<Pumped> {
        match self.link.next(until.saturating_duration_since(Instant::now())) {
            LinkEvent::Message { input, header, data } => {
                let source = self.link.source(&input);
                self.inbox(&input)
                    .accept(header, data)
                    .wrap_err_with(|| format!("edge {source} -> {}/{input}", self.id))?;
            }
            LinkEvent::Malformed { input, why } => {
                let source = self.link.source(&input);
                bail!("edge {source} -> {}/{input}: {why}", self.id)
            }
            LinkEvent::Closed { input } => self.inbox(&input).closed = true,
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
    fn send_pulses(&mut self) -> eyre::Result<()> {
        for (output, sequence) in self.sent.clone() {
            let header = Header::new("", sequence, Kind::Pulse);
            self.link.send(&output, &header, nothing())?;
        }
        let pause = self.pulse.1 * 2;
        self.pulse = (Instant::now() + pause, pause);
        Ok(())
    }

    /// Names of this node's inputs, sorted.
    pub fn inputs(&self) -> Vec<String> {
        self.link.inputs()
    }

    /// Whether the graph declares this output; a test has every output.
    pub fn has_output(&self, output: &str) -> bool {
        self.link.declares(output)
    }

    fn inbox(&mut self, input: &str) -> &mut Inbox<StructArray> {
        if !self.inboxes.contains_key(input) {
            self.inboxes.insert(input.to_owned(), Inbox::new());
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
        for output in self.link.outputs() {
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

/// What became of waiting for an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pumped {
    /// One came.
    Event,
    /// None came in time.
    Nothing,
    /// None will come any more.
    Over,
}

/// The data of a header without a message: dora carries no empty struct, hence one null.
fn nothing() -> StructArray {
    StructArray::new_null(Default::default(), 1)
}
