//! The importance ratio: how much likelier the policy finds a token, or a completion, than the one that sampled it.

use candle_core::{Device, Result, Tensor};

use crate::config::Ratio;

/// Log-ratios are held within ± this, so that no ratio overflows f32: inf times an advantage of 0 would be NaN.
/// The bound is verl's; a token that reaches it has long been clipped.
pub(super) const MAX_LOG_RATIO: f64 = 20.0;

/// Difference of logprobs, held where its exponential is finite.
pub(super) fn log_ratio(logprobs: &Tensor, other: &Tensor) -> Result<Tensor> {
    (logprobs - other)?.clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)
}

/// The ratio at each token, with its gradient: (N,).
///
/// - `token`: `r_t = exp(logprob_t - old_t)` ([PPO](https://arxiv.org/abs/1707.06347), equation 6);
/// - `sequence`: `s_i = exp(mean_t(logprob_t - old_t))` at each token of completion i
///   ([GSPO](https://arxiv.org/abs/2507.18071), equation 7), so that all tokens of a completion are clipped or none is;
/// - `sequence_token`: `sg[s_i] · exp(logprob_t - sg[logprob_t])`, worth s_i with the gradient `s_i · ∇logprob_t` of
///   that token alone (GSPO, equation 14). With one advantage per completion it is worth what `sequence` is; with
///   advantages of their own for tokens it would differ.
pub(super) fn importance_ratio(
    kind: Ratio,
    logprobs: &Tensor,
    log_ratio: &Tensor,
    sequences: &Sequences,
) -> Result<Tensor> {
    let of_sequence = |log_ratio: &Tensor| sequences.spread(&sequences.mean(log_ratio)?.exp()?);
    match kind {
        Ratio::Token => log_ratio.exp(),
        Ratio::Sequence => of_sequence(log_ratio),
        Ratio::SequenceToken => {
            let value = of_sequence(&log_ratio.detach())?; // (N,)
            let one = (logprobs - logprobs.detach())?.exp()?; // (N,)
            value * one
        }
    }
}

/// Which packed tokens belong to one completion: S completions in a batch of N tokens.
pub(super) struct Sequences {
    /// (N,): which completion each token is of.
    owners: Tensor,
    /// (S,): tokens of each, at least 1.
    lengths: Tensor,
}

impl Sequences {
    pub(super) fn new(lengths: &[usize], device: &Device) -> Result<Self> {
        let owners: Vec<u32> = (0..)
            .zip(lengths)
            .flat_map(|(owner, &length)| std::iter::repeat_n(owner, length))
            .collect();
        let lengths: Vec<f32> = lengths.iter().map(|&length| length.max(1) as f32).collect();
        Ok(Self { owners: Tensor::new(owners, device)?, lengths: Tensor::new(lengths, device)? })
    }

    /// (N,) to (S,): the sum over the tokens of each completion.
    pub(super) fn sum(&self, values: &Tensor) -> Result<Tensor> {
        self.lengths.zeros_like()?.index_add(&self.owners, values, 0)
    }

    /// (N,) to (S,): the mean over the tokens of each completion.
    pub(super) fn mean(&self, values: &Tensor) -> Result<Tensor> {
        self.sum(values)? / &self.lengths
    }

    /// (S,) to (N,): the number of each completion at each of its tokens.
    pub(super) fn spread(&self, values: &Tensor) -> Result<Tensor> {
        values.index_select(&self.owners, 0)
    }
}
