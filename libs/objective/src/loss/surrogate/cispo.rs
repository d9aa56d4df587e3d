//! CISPO: a bounded importance weight on the logprob itself.

use candle_core::Result;

use crate::config::CispoConfig;
use crate::loss::indicator;

use super::{SurrogateInputs, TokenLoss};

/// `-sg[min(ratio, max_ratio)] · A · logprob`: a weight is cut, a gradient never.
///
/// [MiniMax-M1](https://arxiv.org/abs/2506.13585), equation 4. "Clipped" are here, as in TRL, tokens of positive
/// advantage whose weight is cut.
pub(super) fn token_loss(inputs: &SurrogateInputs<'_>, config: &CispoConfig) -> Result<TokenLoss> {
    let SurrogateInputs { logprobs, ratio, advantages, .. } = inputs;
    let weight = ratio.detach().minimum(config.max_ratio)?; // (N,)
    let loss = ((weight * *advantages)? * *logprobs)?.neg()?; // (N,)
    let is_cut = indicator(&ratio.gt(config.max_ratio)?, advantages)?;
    let is_positive = indicator(&advantages.gt(0.0)?, advantages)?;
    Ok(TokenLoss { loss, clipped: Some((is_cut * is_positive)?), is_corrected: false })
}
