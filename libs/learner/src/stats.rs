//! What a step reports about itself.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::TrainGroup;

pub(crate) const REFERENCE_SECS: &str = "time/learner/reference_secs";
pub(crate) const PREPARE_SECS: &str = "time/learner/prepare_secs";
pub(crate) const FORWARD_BACKWARD_SECS: &str = "time/learner/forward_backward_secs";
pub(crate) const OPTIMIZER_SECS: &str = "time/learner/optimizer_secs";

/// Metrics that are sums weighted by token.
const WEIGHTED: [&str; 5] = [
    "policy/kl",
    "policy/teacher_kl",
    "policy/clip_fraction",
    "policy/off_policy_fraction",
    "policy/sampler_correction",
];

/// Metrics of one step by their path, as in `policy/loss`.
///
/// `policy/{loss, kl, entropy, clip_fraction, ratio, grad_norm, learning_rate}`, `completions/length/mean`,
/// `groups/zero_advantage`, `completions/zero_advantage`, `tokens`, `time/learner/{reference, forward_backward, optimizer}_secs`; where they are
/// configured `policy/{off_policy_fraction, sampler_correction, kl_coef, entropy_coef}` and
/// `time/learner/prepare_secs`; of a step of several micro-batches `policy/{grad_signal, grad_noise}`; with `[loss.effective_samples]` `policy/{effective_samples, refused_steps}`; with `[loss.chord]` `policy/imitation_loss` and `policy/imitation_share`;
/// with `[loss.self_distillation]` `policy/teacher_kl`, and with `[loss.visual]` `policy/visual_advantage`. A metric that has no meaning in a step, such as the KL without a reference policy,
/// is absent.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StepStats {
    /// Value of each metric, by its path.
    pub metrics: BTreeMap<String, f64>,
}

impl StepStats {
    /// The metrics that every step over completions of these lengths has, before it is made.
    pub(crate) fn of_lengths(lengths: &[usize]) -> Self {
        let mut stats = Self::default();
        for path in ["policy/loss", "tokens", REFERENCE_SECS, FORWARD_BACKWARD_SECS, OPTIMIZER_SECS]
        {
            stats.set(path, 0.0);
        }
        let mean = lengths.iter().sum::<usize>() as f64 / lengths.len() as f64;
        stats.set("completions/length/mean", mean);
        stats
    }

    /// The same for a reinforcement step over these groups, with how many of them have no advantage.
    pub(crate) fn of_groups(groups: &[TrainGroup]) -> Self {
        let completions = || groups.iter().flat_map(TrainGroup::sampled);
        let lengths: Vec<usize> = completions().map(|c| c.token_ids.len()).collect();
        let mut stats = Self::of_lengths(&lengths);
        let n_groups = groups.iter().filter(|group| group.has_no_advantage()).count();
        let n_completions = completions().filter(|c| c.has_no_advantage()).count();
        stats.set("groups/zero_advantage", n_groups as f64);
        stats.set("completions/zero_advantage", n_completions as f64);
        stats
    }

    /// Turns sums that are weighted by token into means, where the weights of an objective do not sum to 1.
    pub(crate) fn scale_to_means(&mut self, total_weight: f64) {
        const ROUNDING: f64 = 1e-3;
        if total_weight == 0.0 || (total_weight - 1.0).abs() < ROUNDING {
            return;
        }
        for path in WEIGHTED {
            if let Some(sum) = self.metrics.get_mut(path) {
                *sum /= total_weight;
            }
        }
    }

    /// Sets the value of a metric.
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
