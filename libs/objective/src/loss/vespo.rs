//! VESPO: a smooth weight of whole completions.

use crate::config::LossConfig;
use candle_core::{Result, Tensor};

use super::indicator;
use super::sequences::Sequences;

/// Lower bound of a log-ratio, log(1e-8), and upper one, as in the authors' code.
const LOG_BOUNDS: (f64, f64) = (-18.420_680_743_952_367, 20.0);

/// `φ(w) = exp(λ) w^k exp(-λ w)` at each token, with w the ratio of the completion's probabilities: (N,), without
/// gradient. The loss is `-φ(w) · A · logprob`.
///
/// [VESPO](https://arxiv.org/abs/2602.10693). φ(1) is 1; k and λ differ by the sign of the advantage. A correction
/// for the sampler is a factor of w.
pub(super) fn weight(
    log_ratio: &Tensor,
    advantages: &Tensor,
    config: &LossConfig,
    sequences: &Sequences,
    correction: Option<&Tensor>,
) -> Result<Tensor> {
    let vespo = config.vespo.clone().unwrap_or_default();
    let mut log_w = sequences.sum(log_ratio)?; // (S,)
    if let Some(correction) = correction {
        // A mask makes it 0, whose logarithm is held at the bound.
        let logs = correction.log()?.clamp(LOG_BOUNDS.0, LOG_BOUNDS.1)?;
        log_w = (log_w + sequences.sum(&logs)?)?;
    }
    let log_w = sequences.spread(&log_w.clamp(LOG_BOUNDS.0, LOG_BOUNDS.1)?)?; // (N,)
    let is_negative = indicator(&advantages.lt(0.0)?, advantages)?; // (N,)
    let choose = |pos: f64, neg: f64| is_negative.affine(neg - pos, pos);
    let (k, lambda) =
        (choose(vespo.k_pos, vespo.k_neg)?, choose(vespo.lambda_pos, vespo.lambda_neg)?);
    let log_phi = ((&lambda + (k * &log_w)?)? - (&lambda * log_w.exp()?)?)?;
    log_phi.exp()
}
