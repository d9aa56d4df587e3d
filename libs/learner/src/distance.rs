//! How far the policy is from the completions that it is to learn from, and the gate that refuses those too far away.

use vrft_model::PackedGroup;
use vrft_objective::config::EffectiveSamplesConfig;

use crate::batch::Origin;
use crate::micro_batch::micro_batches;
use crate::plan::Plan;
use crate::stats::PREPARE_SECS;
use crate::update::numbers;
use crate::{Learner, LearnerError, StepStats, TrainGroup};

/// Effective number of a step's completions, as a share of their number.
pub(crate) const EFFECTIVE_SAMPLES: &str = "policy/effective_samples";
/// Steps that were refused so far.
pub(crate) const REFUSED_STEPS: &str = "policy/refused_steps";

impl Learner {
    /// The effective number of the sampled completions of a step as a share of their number, see
    /// [`vrft_objective::effective_share`]. One pass over the step without a gradient.
    pub(crate) fn effective_share(
        &self,
        groups: &[TrainGroup],
        plan: &Plan<'_>,
        stats: &mut StepStats,
    ) -> Result<f64, LearnerError> {
        let mut logprobs = vec![0.0; plan.n_tokens()];
        for batch in micro_batches(plan.whole_groups(), self.room()) {
            let forward =
                |groups: &[PackedGroup<'_>]| self.policy.logprobs(groups, self.temperature);
            let tokens = stats.timed(PREPARE_SECS, || batch.with_packed(forward))?;
            batch.scatter(&numbers(&tokens.logprobs)?, &mut logprobs);
        }
        let mut rest = &logprobs[..];
        let mut log_weights = Vec::new();
        for completion in groups.iter().flat_map(|group| &group.completions) {
            let (now, others) = rest.split_at(completion.token_ids.len());
            rest = others;
            if completion.origin == Origin::Sampled {
                log_weights.push(log_weight(now, &completion.old_logprobs));
            }
        }
        // Without a sampled completion, or with one that is impossible now, nothing bounds the distance.
        Ok(vrft_objective::effective_share(&log_weights).unwrap_or(0.0))
    }

    /// Leaves the policy as it is and counts the step as refused.
    ///
    /// # Errors
    /// More refused steps than allowed.
    pub(crate) fn refuse(
        &mut self,
        mut stats: StepStats,
        share: f64,
        gate: &EffectiveSamplesConfig,
    ) -> Result<StepStats, LearnerError> {
        let n_refused = self.controllers.refuse();
        if n_refused > gate.max_refused {
            let step = self.step + 1;
            return Err(LearnerError::TooFar { step, share, min: gate.min, n_refused });
        }
        self.note_distance(&mut stats, share);
        self.step += 1;
        Ok(stats)
    }

    pub(crate) fn note_distance(&self, stats: &mut StepStats, share: f64) {
        stats.set(EFFECTIVE_SAMPLES, share);
        stats.set(REFUSED_STEPS, self.controllers.n_refused() as f64);
    }
}

/// Logarithm of the ratio of a completion's probabilities, summed in f64: the difference of two large sums matters.
fn log_weight(now: &[f32], before: &[f32]) -> f64 {
    now.iter().zip(before).map(|(now, before)| f64::from(*now) - f64::from(*before)).sum()
}
