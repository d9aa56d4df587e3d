//! CHORD's imitation of true answers beside the objective.

use candle_core::{Result, Tensor};

use crate::config::TokenWeight;

use super::inputs::same_length;

/// `-Σ_t w_t · φ_t · log p_t` over the tokens of true answers, a scalar with a gradient to the logprobs.
///
/// [CHORD](https://arxiv.org/abs/2508.11408), the loss of CHORD-φ: `φ_t = sg[p_t (1 - p_t)]`, where sg stops the
/// gradient, or 1 for plain supervised fine-tuning. `logprobs` and `weights` are (N,); the weights are those of
/// [`crate::demonstration_weights`], 0 at every token that was sampled.
///
/// # Errors
/// Tensors of different lengths, or a tensor operation that fails.
pub fn imitation_loss(logprobs: &Tensor, weights: &Tensor, token: TokenWeight) -> Result<Tensor> {
    same_length("weights", weights, logprobs.dims1()?)?;
    let weights = match token {
        TokenWeight::One => weights.detach(),
        TokenWeight::Phi => {
            let p = logprobs.detach().exp()?; // (N,)
            let phi = (&p * (1.0 - &p)?)?; // (N,)
            (weights.detach() * phi)?
        }
    };
    (logprobs * weights)?.sum_all()?.neg()
}
