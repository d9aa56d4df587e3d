//! How much each token counts in the loss of a batch.

use crate::config::{LossConfig, LossKind};

use super::{bnpo, dapo, dr_grpo, luspo};

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

/// Weights by the configured type of loss, one per token, completion after completion.
///
/// `truncated` says for each completion whether it was cut at the longest length allowed; with
/// `loss.mask_truncated` its tokens weigh nothing. They still count where completions are counted, as in TRL.
pub fn loss_weights(config: &LossConfig, lengths: &[usize], truncated: &[bool]) -> Vec<f32> {
    let masked = |is_truncated: &bool| config.mask_truncated && *is_truncated;
    if config.kind == LossKind::Grpo && !truncated.iter().any(masked) {
        return token_weights(lengths);
    }
    let counts: Vec<bool> = truncated.iter().map(|is_truncated| !masked(is_truncated)).collect();
    let kept = lengths.iter().zip(&counts).filter(|(_, counts)| **counts);
    let (n, n_tokens) = (lengths.len(), kept.map(|(length, _)| length).sum::<usize>());
    let weight = |length: usize| match config.kind {
        LossKind::Grpo | LossKind::Gspo | LossKind::GspoToken | LossKind::Sapo => {
            1.0 / (length as f64 * n as f64)
        }
        LossKind::Bnpo => bnpo::weight(n_tokens),
        LossKind::Dapo | LossKind::Cispo | LossKind::Vespo => dapo::weight(n_tokens),
        LossKind::DrGrpo => dr_grpo::weight(n, config.length.unwrap_or(length)),
        LossKind::Luspo => luspo::weight(n),
    };
    let of_completion = |(&length, &counts): (&usize, &bool)| {
        std::iter::repeat_n(if counts { weight(length) as f32 } else { 0.0 }, length)
    };
    lengths.iter().zip(&counts).flat_map(of_completion).collect()
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
