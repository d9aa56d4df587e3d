//! Masks over tokens that need tensors; those over whole completions are in [`crate::loss_weights`].

use candle_core::{Result, Tensor};

use crate::config::Masks;

use super::ratio::Sequences;
use super::{Entropy, LossInputs, indicator};

/// 0 at the tokens of completions that the policy has moved away from, 1 at all others: (N,). `None` if no threshold
/// is set.
///
/// Left out is what has a negative advantage and `mean_t(sampler - logprob)` above the threshold: the policy would
/// be pushed away from what it hardly says any more. [DeepSeek-V3.2](https://arxiv.org/abs/2512.02556), equation 9.
pub(super) fn on_policy(
    inputs: &LossInputs<'_>,
    masks: &Masks,
    sequences: &Sequences,
) -> Result<Option<Tensor>> {
    let Some(threshold) = masks.off_policy_threshold else { return Ok(None) };
    let sampler = inputs.sampler_logprobs.unwrap_or(inputs.old_logprobs).detach();
    let distance = sequences.mean(&(sampler - inputs.logprobs.detach())?)?; // (S,)
    let distance = sequences.spread(&distance)?; // (N,)
    let is_far = indicator(&distance.gt(threshold)?, &distance)?;
    let is_negative = indicator(&inputs.advantages.lt(0.0)?, &distance)?;
    Ok(Some((1.0 - (is_far * is_negative)?)?.detach()))
}

/// 1 at tokens of high entropy, 0 at others: (N,). `None` if all count.
pub(super) fn high_entropy(inputs: &LossInputs<'_>) -> Result<Option<Tensor>> {
    let Some(Entropy { per_token, threshold: Some(threshold), .. }) = inputs.entropy else {
        return Ok(None);
    };
    let mask = indicator(&per_token.ge(f64::from(threshold))?, per_token)?;
    Ok(Some(mask.detach()))
}
