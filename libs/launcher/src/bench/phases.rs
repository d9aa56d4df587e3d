//! Seconds and arithmetic of the phases of a step.

use std::time::Instant;

/// Names of the phases, in their order.
pub(crate) const PHASES: [&str; 8] = [
    "prepare",
    "rollout",
    "reward_and_advantage",
    "reference",
    "forward_backward",
    "optimizer",
    "publish_weights",
    "load_weights",
];

/// The phases that are rollout or learner; all others are overhead.
pub(crate) const WORK: [&str; 4] = ["rollout", "reference", "forward_backward", "optimizer"];

/// Seconds of one measured step.
#[derive(Debug, Clone, Default)]
pub(crate) struct StepTimes {
    /// From first to last, phases and whatever lies between them.
    pub(crate) secs: f64,
    /// Seconds of each phase, in the order of [`PHASES`].
    pub(crate) phases: [f64; PHASES.len()],
    /// Floating-point operations of matrix products in rollout and in learner.
    pub(crate) rollout_flops: u64,
    pub(crate) learner_flops: u64,
    pub(crate) learner_secs: f64,
}

impl StepTimes {
    /// Adds to a phase the time that `work` takes.
    pub(crate) fn timed<T>(&mut self, phase: &str, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let done = work();
        self.add(phase, start.elapsed().as_secs_f64());
        done
    }

    /// Adds seconds to a phase.
    pub(crate) fn add(&mut self, phase: &str, secs: f64) {
        if let Some(idx) = PHASES.iter().position(|name| *name == phase) {
            self.phases[idx] += secs;
        }
    }

    /// Share of the step outside rollout and learner.
    pub(crate) fn overhead(&self) -> f64 {
        let work: f64 = PHASES
            .iter()
            .zip(self.phases)
            .filter_map(|(name, secs)| WORK.contains(name).then_some(secs))
            .sum();
        1.0 - work / self.secs
    }
}

/// The middle value; 0 of nothing.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        n if n % 2 == 1 => values[n / 2],
        n => (values[n / 2 - 1] + values[n / 2]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_an_even_count_lies_between_two() {
        assert_eq!(median([3.0, 1.0, 2.0, 10.0].into_iter()), 2.5);
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), 2.0);
    }

    #[test]
    fn what_is_neither_rollout_nor_learner_is_overhead() {
        let mut times = StepTimes { secs: 2.0, ..StepTimes::default() };
        times.add("rollout", 1.0);
        times.add("optimizer", 0.5);
        times.add("publish_weights", 0.2);
        assert_eq!(times.overhead(), 0.25);
    }
}
