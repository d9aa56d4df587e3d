//! BNPO's weighing of tokens: the mean over the tokens of the batch, long completions counting for more.
//!
//! As TRL names it, after batch-normalized policy optimization. TRL's batch is what one device takes at a time; here
//! how a step is cut into micro-batches changes nothing, so it is the completions of one update.

/// Weight of each token of an update with so many.
pub(super) fn weight(n_tokens: usize) -> f64 {
    1.0 / n_tokens as f64
}
