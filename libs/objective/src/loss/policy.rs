//! The part of a loss that the advantage acts on, by type.

use crate::config::{LossConfig, LossKind};
use candle_core::{Result, Tensor};

use super::sequences::Sequences;
use super::{LossInputs, cispo, clip, gspo, gspo_token, log_ratio, sapo, vespo};

/// The loss of each token before it is weighed, and what it was made of.
pub(super) struct Surrogate {
    /// (N,): to be minimized.
    pub(super) loss: Tensor,
    /// (N,): the importance ratio, with gradient; computed where something else needs it.
    pub(super) ratio: Option<Tensor>,
    /// (N,): 1 for tokens that clipping leaves without a gradient.
    pub(super) clipped: Option<Tensor>,
}

/// Of the configured type. Each has its file, but those that clip token by token share one and differ in how
/// tokens are weighed ([`super::loss_weights`]).
pub(super) fn surrogate(
    inputs: &LossInputs<'_>,
    config: &LossConfig,
    sequences: &Sequences,
    correction: Option<&Tensor>,
) -> Result<Surrogate> {
    let advantages = inputs.advantages.detach(); // (N,)
    let log_ratio = log_ratio(inputs.logprobs, &inputs.old_logprobs.detach())?; // (N,)
    match config.kind {
        LossKind::Grpo | LossKind::Bnpo | LossKind::DrGrpo | LossKind::Dapo => {
            clip::surrogate(log_ratio.exp()?, &advantages, config)
        }
        LossKind::Gspo | LossKind::Luspo => {
            clip::surrogate(gspo::ratio(&log_ratio, sequences)?, &advantages, config)
        }
        LossKind::GspoToken => {
            let ratio = gspo_token::ratio(inputs.logprobs, &log_ratio, sequences)?;
            clip::surrogate(ratio, &advantages, config)
        }
        LossKind::Cispo => cispo::surrogate(inputs.logprobs, log_ratio.exp()?, &advantages, config),
        LossKind::Sapo => sapo::surrogate(log_ratio.exp()?, &advantages, config),
        LossKind::Vespo => {
            let weight =
                vespo::weight(&log_ratio.detach(), &advantages, config, sequences, correction)?;
            let loss = (weight * (&advantages * inputs.logprobs)?)?.neg()?;
            Ok(Surrogate { loss, ratio: Some(log_ratio.exp()?), clipped: None })
        }
    }
}

/// VESPO has the correction for the sampler in its weight.
pub(super) fn corrects_itself(config: &LossConfig) -> bool {
    config.kind == LossKind::Vespo
}
