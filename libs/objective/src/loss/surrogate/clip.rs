//! The clipped surrogate of PPO, with all its bounds.

use candle_core::{Result, Tensor};

use crate::config::ClipConfig;
use crate::loss::indicator;

use super::{SurrogateInputs, TokenLoss};

/// `-min(min(ratio, δ) · A, clip(ratio, 1 - ε, 1 + ε_high) · A)`; without δ the inner minimum is the ratio itself.
///
/// [PPO](https://arxiv.org/abs/1707.06347), equation 7; [DAPO](https://arxiv.org/abs/2503.14476), equation 10, for
/// ε_high. δ bounds the loss of a token of negative advantage whose probability rose a lot, which ε does not:
/// [dual clip](https://arxiv.org/abs/1912.09729), equation 5, writes `max(min(·, ·), c · A)` for A < 0, which is
/// the same with c = δ.
pub(super) fn token_loss(inputs: &SurrogateInputs<'_>, config: &ClipConfig) -> Result<TokenLoss> {
    let SurrogateInputs { ratio, advantages, .. } = inputs;
    let high = config.epsilon_high.unwrap_or(config.epsilon);
    let (low, high) = (1.0 - config.epsilon, 1.0 + high);
    let bounded = match config.delta {
        Some(delta) => ratio.minimum(delta)?,
        None => Tensor::clone(ratio),
    };
    let unclipped = (&bounded * *advantages)?; // (N,)
    let clipped = (ratio.clamp(low, high)? * *advantages)?; // (N,)
    let surrogate = unclipped.minimum(&clipped)?; // (N,)
    let mut is_clipped = indicator(&clipped.lt(&unclipped)?, advantages)?; // (N,)
    if let Some(delta) = config.delta {
        let beyond = indicator(&ratio.gt(delta)?, advantages)?;
        let is_negative = indicator(&advantages.lt(0.0)?, advantages)?;
        is_clipped = (is_clipped + (beyond * is_negative)?)?;
    }
    Ok(TokenLoss { loss: surrogate.neg()?, clipped: Some(is_clipped), is_corrected: false })
}
