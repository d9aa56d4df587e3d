//! CISPO: clipped importance weights on the logprobs themselves.

use crate::config::LossConfig;
use candle_core::{Result, Tensor};

use super::indicator;
use super::policy::Surrogate;

/// `-sg[min(ratio, max_ratio)] · A · logprob`: a weight is cut, a gradient never.
///
/// [MiniMax-M1](https://arxiv.org/abs/2506.13585), equation 4. "Clipped" are here, as in TRL, tokens of positive
/// advantage whose weight is cut.
pub(super) fn surrogate(
    logprobs: &Tensor,
    ratio: Tensor,
    advantages: &Tensor,
    config: &LossConfig,
) -> Result<Surrogate> {
    let max_ratio = config.cispo.clone().unwrap_or_default().max_ratio;
    let weight = ratio.detach().minimum(max_ratio)?; // (N,)
    let loss = ((weight * advantages)? * logprobs)?.neg()?; // (N,)
    let is_cut = indicator(&ratio.gt(max_ratio)?, advantages)?;
    let is_positive = indicator(&advantages.gt(0.0)?, advantages)?;
    Ok(Surrogate { loss, ratio: Some(ratio), clipped: Some((is_cut * is_positive)?) })
}
