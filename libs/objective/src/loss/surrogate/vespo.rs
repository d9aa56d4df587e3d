//! VESPO: a smooth weight of whole completions.

use candle_core::{Result, Tensor};

use crate::config::VespoConfig;
use crate::loss::indicator;

use super::{SurrogateInputs, TokenLoss};

/// Lower bound of a log-ratio, log(1e-8), and upper one, as in the authors' code.
const LOG_BOUNDS: (f64, f64) = (-18.420_680_743_952_367, 20.0);

/// `-sg[φ(w)] · A · logprob` with `φ(w) = exp(λ) w^k exp(-λ w)` and w the ratio of the completion's probabilities.
///
/// [VESPO](https://arxiv.org/abs/2602.10693). φ(1) is 1; k and λ differ by the sign of the advantage. A correction
/// for the sampler is a factor of w.
pub(super) fn token_loss(inputs: &SurrogateInputs<'_>, config: &VespoConfig) -> Result<TokenLoss> {
    let weight = weight(inputs, config)?; // (N,)
    let loss = (weight * (inputs.advantages * inputs.logprobs)?)?.neg()?; // (N,)
    Ok(TokenLoss { loss, clipped: None, is_corrected: true })
}

/// φ(w) at each token, without gradient: (N,).
fn weight(inputs: &SurrogateInputs<'_>, config: &VespoConfig) -> Result<Tensor> {
    let SurrogateInputs { log_ratio, advantages, sequences, correction, .. } = inputs;
    let mut log_w = sequences.sum(&log_ratio.detach())?; // (S,)
    if let Some(correction) = correction {
        // A mask makes it 0, whose logarithm is held at the bound.
        let logs = correction.log()?.clamp(LOG_BOUNDS.0, LOG_BOUNDS.1)?;
        log_w = (log_w + sequences.sum(&logs)?)?;
    }
    let log_w = sequences.spread(&log_w.clamp(LOG_BOUNDS.0, LOG_BOUNDS.1)?)?; // (N,)
    let is_negative = indicator(&advantages.lt(0.0)?, advantages)?; // (N,)
    let by_sign = |pos: f64, neg: f64| is_negative.affine(neg - pos, pos);
    let k = by_sign(config.k_pos, config.k_neg)?; // (N,)
    let lambda = by_sign(config.lambda_pos, config.lambda_neg)?; // (N,)
    let log_phi = ((&lambda + (k * &log_w)?)? - (&lambda * log_w.exp()?)?)?;
    log_phi.exp()
}
