//! The mask of completions that the policy has moved away from.

use crate::config::LossConfig;
use candle_core::{Result, Tensor};

use super::sequences::Sequences;
use super::{LossInputs, indicator};

/// 0 at the tokens of completions to leave out, 1 at all others: (N,). `None` if no threshold is set.
///
/// Left out is what has a negative advantage and `mean_t(sampler - logprob)` above the threshold: the policy would
/// be pushed away from what it hardly says any more. [DeepSeek-V3.2](https://arxiv.org/abs/2512.02556), equation 9.
pub(super) fn kept(
    inputs: &LossInputs<'_>,
    config: &LossConfig,
    sequences: &Sequences,
) -> Result<Option<Tensor>> {
    let Some(threshold) = config.off_policy_threshold else { return Ok(None) };
    let sampler = inputs.sampler_logprobs.unwrap_or(inputs.old_logprobs).detach();
    let distance = sequences.mean(&(sampler - inputs.logprobs.detach())?)?; // (S,)
    let distance = sequences.spread(&distance)?; // (N,)
    let is_far = indicator(&distance.gt(threshold)?, &distance)?;
    let is_negative = indicator(&inputs.advantages.lt(0.0)?, &distance)?;
    Ok(Some((1.0 - (is_far * is_negative)?)?.detach()))
}
