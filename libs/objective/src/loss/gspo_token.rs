//! GSPO-token: the ratio of the completion, the gradient of the token.

use candle_core::{Result, Tensor};

use super::{gspo, sequences::Sequences};

/// `sg[s_i] · logprob-ratio / sg[logprob-ratio]`: worth s_i at each token of completion i, with the gradient
/// `s_i · ∇logprob` of that token alone: (N,).
///
/// [GSPO](https://arxiv.org/abs/2507.18071), equation 14. With one advantage per completion it is worth what GSPO
/// is; with advantages of their own for tokens it would differ.
pub(super) fn ratio(
    logprobs: &Tensor,
    log_ratio: &Tensor,
    sequences: &Sequences,
) -> Result<Tensor> {
    let of_sequence = gspo::ratio(&log_ratio.detach(), sequences)?; // (N,)
    let one = (logprobs - logprobs.detach())?.exp()?; // (N,)
    of_sequence * one
}
