//! SAPO: a gate that closes smoothly as the ratio leaves 1.

use candle_core::Result;

use crate::config::SapoConfig;
use crate::loss::indicator;

use super::{SurrogateInputs, TokenLoss};

/// `-σ(τ (ratio - 1)) · 4/τ · A`, with its own τ for tokens whose advantage is not positive.
///
/// [SAPO](https://arxiv.org/abs/2511.20347). At a ratio of 1 the gradient is that of the unclipped objective.
pub(super) fn token_loss(inputs: &SurrogateInputs<'_>, config: &SapoConfig) -> Result<TokenLoss> {
    let SurrogateInputs { ratio, advantages, .. } = inputs;
    let is_positive = indicator(&advantages.gt(0.0)?, advantages)?;
    let (pos, neg) = (config.temperature_pos, config.temperature_neg);
    let temperature = is_positive.affine(pos - neg, neg)?; // (N,)
    let distance = (&temperature * (*ratio - 1.0)?)?; // (N,)
    // The sigmoid, written out: candle has its own in another crate.
    let gate = ((distance.neg()?.exp()? + 1.0)?.recip()? * 4.0)?; // (N,)
    let loss = ((gate / temperature)? * *advantages)?.neg()?;
    Ok(TokenLoss { loss, clipped: None, is_corrected: false })
}
