//! What a step reports about itself.

use std::collections::BTreeMap;
use std::time::Instant;

/// Metrics of one step by their path, as in `policy/loss`.
///
/// `policy/{loss, kl, entropy, clip_fraction, ratio, grad_norm, learning_rate}`, `completions/length/mean`,
/// `groups/zero_advantage`, `tokens`, `time/learner/{reference, forward_backward, optimizer}_secs`. A metric that
/// has no meaning in a step, such as the KL without a reference policy, is absent.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StepStats {
    /// Value by path.
    pub metrics: BTreeMap<String, f64>,
}

impl StepStats {
    /// Sets a metric.
    pub(crate) fn set(&mut self, path: &str, value: f64) {
        self.metrics.insert(path.to_owned(), value);
    }

    /// Adds to a metric that sums over micro-batches.
    pub(crate) fn add(&mut self, path: &str, value: f64) {
        *self.metrics.entry(path.to_owned()).or_default() += value;
    }

    /// Turns a sum into a mean.
    pub(crate) fn divide(&mut self, path: &str, n: usize) {
        if let Some(value) = self.metrics.get_mut(path) {
            *value /= n as f64;
        }
    }

    /// Adds the time that `work` takes to a metric.
    pub(crate) fn timed<T>(&mut self, path: &str, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let done = work();
        self.add(path, start.elapsed().as_secs_f64());
        done
    }
}
