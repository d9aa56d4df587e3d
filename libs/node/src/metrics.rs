//! Metrics of a node: collected while it works, sent as one message.
//!
//! dora delivers nothing that is sent after a stop, and a node that is at work hears of the stop when its work is done.
//! So a node also leaves its last metrics in the run folder when it ends, and whoever records metrics looks there.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use eyre::WrapErr;
use vrft_messages::{Message, Metric, MetricBatch};

use crate::Node;
use crate::edge::Kind;
use crate::ports::METRICS;

/// Folder within the run folder where nodes that end leave their last metrics.
const LAST_METRICS: &str = "last-metrics";

/// How many messages are kept to be left behind: more than a node sends between two looks for a stop.
const KEPT: usize = 8;

/// Metrics that were not sent yet, and those that were sent last.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    waiting: MetricBatch,
    sent_last: VecDeque<MetricBatch>,
    /// Whether the run folder is one of a run.
    pub(crate) are_left: bool,
}

/// The last metrics of a node that has ended, which may have been received already; `None` if it left none.
///
/// # Errors
/// A file that cannot be read.
pub fn last_metrics(run_dir: &Path, node: &str) -> eyre::Result<Option<MetricBatch>> {
    let path = last_metrics_path(run_dir, node);
    if !path.exists() {
        return Ok(None);
    }
    Ok(Some(vrft_messages::file::read(&path)?))
}

/// Removes what [`last_metrics`] reads, of all nodes.
///
/// # Errors
/// A folder that cannot be removed.
pub fn remove_last_metrics(run_dir: &Path) -> eyre::Result<()> {
    let folder = run_dir.join(LAST_METRICS);
    if !folder.exists() {
        return Ok(());
    }
    std::fs::remove_dir_all(&folder).wrap_err_with(|| format!("{folder:?}"))
}

fn last_metrics_path(run_dir: &Path, node: &str) -> PathBuf {
    run_dir.join(LAST_METRICS).join(format!("{}.arrow", crate::file_name(node)))
}

/// Seconds since 1970.
pub fn unix_secs() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

impl Node {
    /// Notes a number for the plots. `step` counts learner steps from 1.
    pub fn metric(&mut self, step: u64, name: impl Into<String>, value: f64) {
        let metric = Metric { step, name: name.into(), value, at: unix_secs() };
        self.metrics.waiting.metrics.push(metric);
    }

    /// Runs `work` and notes its seconds as `time/<name>_secs`; the report draws these as spans.
    pub fn timed<T>(&mut self, step: u64, name: &str, work: impl FnOnce(&mut Self) -> T) -> T {
        let start = Instant::now();
        let result = work(self);
        self.metric(step, format!("time/{name}_secs"), start.elapsed().as_secs_f64());
        result
    }

    /// Sends the metrics noted since the last call, if the graph has an output for them.
    ///
    /// # Errors
    /// As [`Node::send`].
    pub fn send_metrics(&mut self) -> eyre::Result<()> {
        let batch = std::mem::take(&mut self.metrics.waiting);
        if batch.metrics.is_empty() || !self.link.declares(METRICS.name) {
            return Ok(());
        }
        let data = batch.to_arrow();
        let kept = &mut self.metrics.sent_last;
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(batch);
        self.put(METRICS.name, MetricBatch::NAME, data, Kind::Message)
    }

    /// Leaves the last metrics in the run folder, for a recorder that a stop keeps from receiving them.
    pub(crate) fn leave_metrics(&mut self) -> eyre::Result<()> {
        if !self.metrics.are_left || !self.link.declares(METRICS.name) {
            return Ok(());
        }
        let last = std::mem::take(&mut self.metrics.sent_last);
        let metrics = last.into_iter().flat_map(|batch| batch.metrics).collect();
        let path = last_metrics_path(self.run_dir(), self.id());
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).wrap_err_with(|| format!("{folder:?}"))?;
        }
        Ok(vrft_messages::file::write(&MetricBatch { metrics }, &path)?)
    }
}
