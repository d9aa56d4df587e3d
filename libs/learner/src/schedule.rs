//! The learning rate over a run, as `transformers.get_scheduler` shapes it.

use std::f64::consts::PI;

use crate::{OptimizerConfig, Schedule};

/// Learning rate of a step, from 0, of a run of `n_steps`.
///
/// The warm-up rises from 0 at the first step; linear and cosine would reach 0 at the step after the last.
pub(crate) fn learning_rate(config: &OptimizerConfig, step: u64, n_steps: u64) -> f64 {
    let warmup = config.warmup_steps;
    if step < warmup {
        return config.learning_rate * step as f64 / warmup as f64;
    }
    let remaining = n_steps.saturating_sub(warmup).max(1) as f64;
    let progress = ((step - warmup) as f64 / remaining).min(1.0);
    let factor = match config.schedule {
        Schedule::Constant => 1.0,
        Schedule::Linear => 1.0 - progress,
        Schedule::Cosine => 0.5 * (1.0 + (PI * progress).cos()),
    };
    config.learning_rate * factor
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(schedule: Schedule, warmup_steps: u64, n_steps: u64, expect: &[f64]) {
        let config =
            OptimizerConfig { learning_rate: 1.0, schedule, warmup_steps, ..Default::default() };
        for (step, expect) in expect.iter().enumerate() {
            let got = learning_rate(&config, step as u64, n_steps);
            assert!((got - expect).abs() < 1e-12, "step {step}: {got}, not {expect}");
        }
    }

    #[test]
    fn linear_reaches_zero_after_the_last_step() {
        check(Schedule::Linear, 0, 4, &[1.0, 0.75, 0.5, 0.25, 0.0, 0.0]);
    }

    #[test]
    fn warmup_starts_at_zero() {
        check(Schedule::Linear, 2, 4, &[0.0, 0.5, 1.0, 0.5, 0.0]);
        check(Schedule::Constant, 2, 4, &[0.0, 0.5, 1.0, 1.0, 1.0]);
    }

    #[test]
    fn cosine_is_at_half_in_the_middle() {
        check(
            Schedule::Cosine,
            0,
            4,
            &[1.0, 0.853_553_390_593_273_8, 0.5, 0.146_446_609_406_726_2, 0.0],
        );
    }

    #[test]
    fn a_run_shorter_than_its_warmup_stays_finite() {
        check(Schedule::Linear, 5, 3, &[0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 0.0]);
    }
}
