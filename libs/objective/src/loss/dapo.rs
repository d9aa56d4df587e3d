//! DAPO's weighing of tokens: the mean over the tokens of all completions that were sampled together.
//!
//! [DAPO](https://arxiv.org/abs/2503.14476), equation 8. An update is made from all completions that its step
//! sampled, so the numbers are those of [`super::bnpo`]; its clip-higher, overlong mask, soft punishment and dynamic
//! sampling are settings of their own.

/// Weight of each token when so many were sampled.
pub(super) fn weight(n_tokens: usize) -> f64 {
    1.0 / n_tokens as f64
}
