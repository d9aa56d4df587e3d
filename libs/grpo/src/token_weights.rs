//! How much each token counts in the loss of a batch.

/// Weights for the mean over completions of the mean over tokens, one per token, completion after completion.
///
/// A token of a completion with `length` tokens weighs `1 / (length * n_completions)`; all sum to 1. A completion
/// without tokens has nothing to average and is not counted. This is GRPO's own normalization (arXiv 2402.03300,
/// equation 3): short and long completions count alike.
pub fn token_weights(lengths: &[usize]) -> Vec<f32> {
    let n_completions = lengths.iter().filter(|&&length| length > 0).count();
    let weight = |length: usize| (1.0 / (length as f64 * n_completions as f64)) as f32;
    lengths.iter().flat_map(|&length| std::iter::repeat_n(weight(length), length)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn completions_count_alike() {
        assert_eq!(token_weights(&[1, 2]), [0.5, 0.25, 0.25]);
    }
    #[test]
    fn an_empty_completion_is_not_counted() {
        assert_eq!(token_weights(&[0, 2]), [0.5, 0.5]);
        assert_eq!(token_weights(&[0, 0]), [0.0; 0]);
    }
    #[test]
    fn weights_sum_to_one() {
        let sum: f32 = token_weights(&[3, 64, 17, 1]).iter().sum();
        assert!((sum - 1.0).abs() < 1e-6);
    }
}
