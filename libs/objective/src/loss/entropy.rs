//! What the entropy of the policy does to the loss: a bonus, and a choice of tokens.

use candle_core::{Result, Tensor};

use crate::config::LossConfig;

use super::{LossInputs, indicator, masks};

/// Entropy of the policy at each token, and the numbers that every micro-batch of the update shares.
#[derive(Debug, Clone, Copy)]
pub struct Entropy<'a> {
    /// (N,): in nats; the bonus has a gradient through it.
    pub per_token: &'a Tensor,
    /// Tokens below it are left out, of the advantage and of the bonus; see [`entropy_threshold`].
    pub threshold: Option<f32>,
    /// Tokens of the whole update that are left: what the bonus is the mean over.
    pub n_tokens: usize,
}

/// The entropy that a share of tokens is at or above, with their number: linear between ranks, as `torch.quantile`.
///
/// A minority of tokens decides where an answer goes ([arXiv 2506.01939](https://arxiv.org/abs/2506.01939)); for
/// them alone, `share` is 0.2 there. `entropies` are those of all tokens that count.
pub fn entropy_threshold(entropies: &[f32], share: f64) -> (f32, usize) {
    let mut sorted = entropies.to_vec();
    sorted.sort_by(f32::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else { return (f32::INFINITY, 0) };
    let rank = (1.0 - share).clamp(0.0, 1.0) * last as f64;
    let (low, high) = (sorted[rank.floor() as usize], sorted[rank.ceil() as usize]);
    let threshold = low + (high - low) * rank.fract() as f32;
    (threshold, sorted.iter().filter(|entropy| **entropy >= threshold).count())
}

/// The mean entropy of the tokens that count, times its coefficient: a scalar. `None` if that is 0.
pub(super) fn bonus(inputs: &LossInputs<'_>, config: &LossConfig) -> Result<Option<Tensor>> {
    let Some(entropy) = inputs.entropy.filter(|_| config.entropy_coef != 0.0) else {
        return Ok(None);
    };
    // A token without weight is one of a completion that is masked.
    let counts = indicator(&inputs.token_weights.gt(0.0)?, entropy.per_token)?;
    let mut kept = (entropy.per_token * counts)?; // (N,)
    if let Some(mask) = masks::high_entropy(inputs)? {
        kept = (kept * mask)?;
    }
    let mean = (kept.sum_all()? / entropy.n_tokens.max(1) as f64)?;
    Ok(Some((mean * config.entropy_coef)?))
}
