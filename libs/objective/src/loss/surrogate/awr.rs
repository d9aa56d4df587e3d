//! AWR: supervised learning of completions that were sampled before, the better ones more.

use candle_core::Result;

use crate::config::AwrConfig;
use crate::loss::indicator;

use super::{SurrogateInputs, TokenLoss};

/// `-sg[min(exp(A / τ), ω)] · logprob`: no ratio and no sign, so that what was sampled long ago still teaches.
///
/// [Advantage-Weighted Regression](https://arxiv.org/abs/1910.00177), algorithm 1 and section 5 for ω. "Clipped" are
/// here tokens whose weight is cut to ω; they keep a gradient.
pub(super) fn token_loss(inputs: &SurrogateInputs<'_>, config: &AwrConfig) -> Result<TokenLoss> {
    let SurrogateInputs { logprobs, advantages, .. } = inputs;
    // The bound is taken before the exponential, which could overflow.
    let bound = config.max_weight.ln();
    let exponent = (*advantages / config.temperature)?; // (N,)
    let weight = exponent.minimum(bound)?.exp()?; // (N,)
    let loss = (weight * *logprobs)?.neg()?; // (N,)
    let clipped = indicator(&exponent.gt(bound)?, advantages)?;
    Ok(TokenLoss { loss, clipped: Some(clipped), is_corrected: false })
}
