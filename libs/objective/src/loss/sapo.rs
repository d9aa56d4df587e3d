//! SAPO: a gate that closes smoothly as the ratio leaves 1.

use crate::config::LossConfig;
use candle_core::{Result, Tensor};

use super::indicator;
use super::policy::Surrogate;

/// `-σ(τ (ratio - 1)) · 4/τ · A`, with its own τ for tokens whose advantage is not positive.
///
/// [SAPO](https://arxiv.org/abs/2511.20347). At a ratio of 1 the gradient is that of the unclipped objective.
pub(super) fn surrogate(
    ratio: Tensor,
    advantages: &Tensor,
    config: &LossConfig,
) -> Result<Surrogate> {
    let sapo = config.sapo.clone().unwrap_or_default();
    let is_positive = indicator(&advantages.gt(0.0)?, advantages)?;
    let temperature =
        is_positive.affine(sapo.temperature_pos - sapo.temperature_neg, sapo.temperature_neg)?; // (N,)
    let distance = (&temperature * (&ratio - 1.0)?)?; // (N,)
    // The sigmoid, written out: candle has its own in another crate.
    let gate = ((distance.neg()?.exp()? + 1.0)?.recip()? * 4.0)?; // (N,)
    let loss = ((gate / temperature)? * advantages)?.neg()?;
    Ok(Surrogate { loss, ratio: Some(ratio), clipped: None })
}
