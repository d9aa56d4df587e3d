//! The correction for a sampler that is not quite the policy that learns.

use candle_core::{Result, Tensor};

use crate::config::{CorrectionMode, LossConfig, SamplerCorrectionConfig};

use super::ratio::{MAX_LOG_RATIO, Sequences};
use super::{LossInputs, indicator};

/// `exp(old - sampler)` at each token, or of the sums over its completion, within bounds: (N,), without gradient.
/// `None` if no correction is set.
///
/// The two differ where the sampler rounds otherwise or is a version behind. Truncated importance sampling cuts
/// ratios to the bounds, masked importance sampling drops what is outside of them; names and definitions are TRL's.
pub(super) fn ratios(
    inputs: &LossInputs<'_>,
    config: &LossConfig,
    sequences: &Sequences,
) -> Result<Option<Tensor>> {
    let (Some(correction), Some(sampler)) = (&config.sampler_correction, inputs.sampler_logprobs)
    else {
        return Ok(None);
    };
    let logs = (inputs.old_logprobs.detach() - sampler.detach())?; // (N,)
    let logs = match correction.mode {
        CorrectionMode::TokenTruncate | CorrectionMode::TokenMask => logs,
        CorrectionMode::SequenceTruncate | CorrectionMode::SequenceMask => {
            sequences.spread(&sequences.sum(&logs)?)?
        }
    };
    let ratio = logs.clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)?.exp()?; // (N,)
    Ok(Some(within_bounds(&ratio, correction)?.detach()))
}

fn within_bounds(ratio: &Tensor, correction: &SamplerCorrectionConfig) -> Result<Tensor> {
    let min = correction.min.unwrap_or(0.0);
    let max = correction.max.unwrap_or(f64::INFINITY);
    match correction.mode {
        CorrectionMode::TokenTruncate | CorrectionMode::SequenceTruncate => ratio.clamp(min, max),
        CorrectionMode::TokenMask | CorrectionMode::SequenceMask => {
            let above = indicator(&ratio.ge(min)?, ratio)?;
            let below = indicator(&ratio.le(max)?, ratio)?;
            (ratio * above)? * below
        }
    }
}
