//! What a step reports about itself.

use std::collections::BTreeMap;
use std::time::Instant;

/// Metrics of one step by their path, as in `policy/loss`.
///
/// `policy/{loss, kl, entropy, clip_fraction, ratio, grad_norm, learning_rate}`, `completions/length/mean`,
/// `groups/zero_advantage`, `completions/zero_advantage`, `tokens`, `time/learner/{reference, forward_backward, optimizer}_secs`; where they are
/// configured `policy/{off_policy_fraction, sampler_correction, kl_coef, entropy_coef}` and
/// `time/learner/prepare_secs`. A metric that has no meaning in a step, such as the KL without a reference policy,
/// is absent.
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

    /// A metric, if there is one.
    pub(crate) fn get(&self, path: &str) -> Option<f64> {
        self.metrics.get(path).copied()
    }

    /// One step of several updates: what they cost adds up, of everything else the mean counts.
    pub(crate) fn merged(updates: Vec<Self>) -> Self {
        let n = updates.len();
        let mut merged = Self::default();
        for (path, value) in updates.into_iter().flat_map(|update| update.metrics) {
            let is_cost = path == "tokens" || path.starts_with("time/");
            merged.add(&path, if is_cost { value } else { value / n as f64 });
        }
        merged
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
