//! Dr. GRPO's weighing of tokens: a constant, so that no completion is favored for its length.
//!
//! [Dr. GRPO](https://arxiv.org/abs/2503.20783), appendix: the sum of a completion is divided by the longest length
//! allowed instead of its own. To be used with `advantage.scale = "none"`.

/// Weight of each token: the mean over completions of the sum over tokens by `length`.
pub(super) fn weight(n_completions: usize, length: usize) -> f64 {
    1.0 / (n_completions as f64 * length as f64)
}
