//! LUSPO's weighing of tokens: the ratio of whole completions as in GSPO, each scaled by its length.
//!
//! [LUSPO](https://arxiv.org/abs/2602.05261): GSPO's mean over tokens gives a long completion the gradient of a short
//! one, so policies grow terse; the sum does not.

/// Weight of each token: the mean over completions of the sum over tokens.
pub(super) fn weight(n_completions: usize) -> f64 {
    1.0 / n_completions as f64
}
