//! Metrics of a node: collected while it works, sent as one message.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use vrft_messages::{Message, Metric, MetricBatch};

use crate::Node;
use crate::edge::Kind;
use crate::ports::METRICS;

/// Metrics that were not sent yet.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    waiting: MetricBatch,
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
        self.put(METRICS.name, MetricBatch::NAME, batch.to_arrow(), Kind::Message)
    }
}
