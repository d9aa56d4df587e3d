//! Reptile ([arXiv 1803.02999](https://arxiv.org/abs/1803.02999)): a start from which a few steps on a few samples of a task
//! go far.

use std::collections::HashMap;

use candle_core::Tensor;

use crate::adamw::AdamW;
use crate::{Demonstration, Learner, LearnerError};

/// What one task of an iteration did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReptileStats {
    /// Mean negative logprob of the first batch's tokens before any step on the task, in nats.
    pub first_loss: f64,
    /// That of the last batch, before the last step.
    pub last_loss: f64,
}

impl Learner {
    /// One iteration on one task: supervised steps on its batches with an optimizer of their own, then the trained weights
    /// go from where they were the share `rate` (ε) of the way to where the steps led: `φ + ε (W - φ)`, as in the paper's
    /// algorithm 1.
    ///
    /// # Errors
    /// As [`Learner::sft_step`]; no batch. The weights are then as they were.
    pub fn reptile(
        &mut self,
        batches: &[Vec<Demonstration>],
        rate: f64,
    ) -> Result<ReptileStats, LearnerError> {
        if batches.is_empty() {
            return Err(LearnerError::input("batches of a task", "at least 1", 0));
        }
        let copied = |(name, tensor): (String, Tensor)| Ok((name, tensor.copy()?));
        let before = self.policy.tensors().into_iter().map(copied);
        let before = before.collect::<Result<HashMap<String, Tensor>, LearnerError>>()?;
        self.optimizer = AdamW::new(&self.optimizer_config, self.policy.backend());
        let losses = batches.iter().map(|batch| {
            let stats = self.sft_step(batch)?;
            Ok(stats.get("policy/loss").unwrap_or(f64::NAN))
        });
        let losses = match losses.collect::<Result<Vec<f64>, LearnerError>>() {
            Ok(losses) => losses,
            Err(error) => {
                self.policy.set_weights(&before)?;
                return Err(error);
            }
        };
        let after = self.policy.tensors();
        let between = |(name, start): (String, Tensor)| {
            let way = ((&after[&name] - &start)? * rate)?;
            Ok((name, (start + way)?))
        };
        let between = before.into_iter().map(between);
        let between = between.collect::<Result<HashMap<String, Tensor>, LearnerError>>()?;
        self.policy.take_weights(between)?;
        Ok(ReptileStats { first_loss: losses[0], last_loss: losses[losses.len() - 1] })
    }
}
