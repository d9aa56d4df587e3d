//! [`Node`]: one process within the graph. What it receives is in `receive.rs`, what it sends in `send.rs`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use arrow::array::StructArray;
use eyre::WrapErr;
use tracing::{info, warn};
use vrft_config::Document;
use vrft_plan::{OnLoss, PoolConfig, RunConfig};

use crate::dora::DoraLink;
use crate::edge::Inbox;
use crate::graph::Member;
use crate::link::Link;
use crate::live::Live;
use crate::metrics::Metrics;
use crate::ports::{Input, OtherInputs, Output, Ports, WATCH};

/// An idle node tells its neighbors so after this time, then after twice as long, and so on.
pub(crate) const FIRST_PULSE: Duration = Duration::from_secs(2);

/// This process within the graph.
pub struct Node {
    pub(crate) link: Box<dyn Link>,
    pub(crate) ports: &'static Ports,
    pub(crate) id: String,
    run_dir: PathBuf,
    /// What came by inputs of dora's hub, and the inputs whose sender is gone.
    pub(crate) live: VecDeque<Live>,
    pub(crate) gone: VecDeque<String>,
    pub(crate) live_outputs: BTreeSet<String>,
    pub(crate) inboxes: BTreeMap<String, Inbox<StructArray>>,
    pub(crate) sent: BTreeMap<String, i64>,
    /// When the next pulse is due, and the pause before it.
    pub(crate) pulse: (Instant, Duration),
    pub(crate) stopped: bool,
    /// Nodes that the run can do without.
    pub(crate) expendable: BTreeSet<String>,
    /// Inputs whose sender was lost, until the node's code is told.
    pub(crate) losses: Vec<String>,
    pub(crate) metrics: Metrics,
}

impl Node {
    /// Joins the dataflow as a node with these ports. Load models first: dora starts the run when every node has
    /// joined.
    ///
    /// # Errors
    /// Not started by dora, or an edge of the graph that could lose messages.
    pub fn join(ports: &'static Ports, document: &Document) -> eyre::Result<Node> {
        Self::joined(DoraLink::join(ports)?, ports, document)
    }

    /// Joins a dataflow that is running already, as the node of this name whose path is `dynamic`.
    ///
    /// # Errors
    /// No such node in the graph of a running dataflow.
    pub fn join_late(ports: &'static Ports, document: &Document, id: &str) -> eyre::Result<Node> {
        Self::joined(DoraLink::join_late(ports, id)?, ports, document)
    }

    fn joined(link: DoraLink, ports: &'static Ports, document: &Document) -> eyre::Result<Node> {
        let run_dir = crate::start::run_dir(&document.section::<RunConfig>()?, &link.dataflow_id());
        std::fs::create_dir_all(&run_dir)
            .wrap_err_with(|| format!("cannot make the run folder {run_dir:?}"))?;
        let id = link.node_id();
        info!(run_dir = vrft_config::shown(&run_dir), "Joined.");
        let expendable = match document.section::<PoolConfig>()?.on_loss {
            OnLoss::End => BTreeSet::new(),
            OnLoss::Survive => link.replicas()?,
        };
        let mut node = Self::over(Box::new(link), ports, id, run_dir).without(expendable);
        node.metrics.are_left = true;
        Ok(node)
    }

    pub(crate) fn over(
        link: Box<dyn Link>,
        ports: &'static Ports,
        id: String,
        run_dir: PathBuf,
    ) -> Node {
        Node {
            link,
            ports,
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

    /// All nodes of the graph.
    pub fn members(&self) -> Vec<Member> {
        self.link.members()
    }

    /// Name of the node that sends to an input.
    pub fn sender<M>(&self, input: &Input<M>) -> String {
        node_of(&self.link.source(input.name())).to_owned()
    }

    /// The inputs that the graph connects, each with what sends to it: `node/output`, or a timer as `dora/timer/…`.
    pub fn inputs(&self) -> Vec<(String, String)> {
        let inputs = self.link.inputs().into_iter();
        inputs.map(|input| (input.clone(), self.link.source(&input))).collect()
    }

    /// Whether the graph connects this input.
    pub fn has_input<M>(&self, input: &Input<M>) -> bool {
        self.link.inputs().iter().any(|found| found == input.name())
    }

    /// The inputs of the graph that have no name of their own in the declaration, sorted by name.
    pub fn others<M>(&self, others: &OtherInputs<M>) -> Vec<Input<M>> {
        let is_named = |input: &str| input == WATCH.name || self.ports.find_input(input).is_some();
        let inputs = self.link.inputs().into_iter().filter(|input| !is_named(input));
        inputs.map(|input| others.named(input)).collect()
    }

    /// Whether the graph declares this output; a test has every output.
    pub fn has_output<M>(&self, output: &Output<M>) -> bool {
        self.link.declares(output.name())
    }

    /// Sends the metrics that remain and an end marker on every output; the last thing a node does. What dora may not
    /// deliver any more after a stop is left in the run folder: see [`crate::last_metrics`].
    ///
    /// # Errors
    /// As [`Node::send`]. After a requested stop a neighbor may be gone already: that is no error.
    pub fn finish(mut self) -> eyre::Result<()> {
        let sent = self.send_metrics();
        // Before the end markers: after them the recorder may be done.
        self.leave_metrics()?;
        let ended = sent.and_then(|()| self.send_ends());
        self.log_counts();
        match ended {
            Err(error) if self.stopped => {
                info!(%error, "A neighbor had stopped already.");
                Ok(())
            }
            other => other,
        }
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

/// The node of a `node/output`.
pub(crate) fn node_of(source: &str) -> &str {
    source.split('/').next().unwrap_or_default()
}
