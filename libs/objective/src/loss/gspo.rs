//! GSPO: the importance ratio of whole completions.

use candle_core::{Result, Tensor};

use super::sequences::Sequences;

/// `s_i = exp(mean_t(logprob - old_logprob))` at each token of completion i: (N,).
///
/// [GSPO](https://arxiv.org/abs/2507.18071), equation 7. All tokens of a completion are clipped or none is; the
/// range that fits is far smaller than for tokens (there 3e-4).
pub(super) fn ratio(log_ratio: &Tensor, sequences: &Sequences) -> Result<Tensor> {
    sequences.spread(&sequences.mean(log_ratio)?.exp()?)
}
