//! The loss of the supervised baseline.

use candle_core::{Result, Tensor};

use super::inputs::same_length;

/// `-Σ_t w_t · logprob_t`: the negative log-likelihood of demonstrated tokens.
///
/// # Errors
/// Tensors of different lengths, or what candle says.
pub fn sft_loss(logprobs: &Tensor, token_weights: &Tensor) -> Result<Tensor> {
    same_length("token_weights", token_weights, logprobs.dims1()?)?;
    (logprobs * token_weights.detach())?.sum_all()?.neg()
}
