//! How much each token counts in the loss of an update.

use crate::config::{Aggregation, LossConfig, Masks};

/// A completion, as far as the weight of its tokens depends on it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct CompletionFacts {
    /// Number of tokens; a completion without tokens has nothing to average and is not counted.
    pub n_tokens: usize,
    /// Whether it was cut at the longest length allowed.
    pub is_truncated: bool,
    /// Advantage of the completion.
    pub advantage: f32,
    /// Whether it is imitated rather than judged ([`crate::config::ChordConfig`]): it has no part in the objective and in
    /// none of its counts.
    pub is_demonstration: bool,
}

/// What an update is made of, over all learners that take part in it.
///
/// The weight of a token depends on the whole update, not on the part of it that one learner or one micro-batch has:
/// learners that share an update add up their counts first ([`UpdateCounts::of`], then `+`), and their losses and
/// gradients are then sums, whatever the cut.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UpdateCounts {
    /// Completions. Those that were truncated count here even where they are masked, as in TRL.
    pub n_completions: usize,
    /// Tokens of the completions that no mask leaves out.
    pub n_tokens: usize,
    /// Tokens of the demonstrations, which are imitated beside the objective.
    pub n_demonstrated: usize,
}

impl UpdateCounts {
    /// Counts the completions of one learner.
    pub fn of(completions: &[CompletionFacts], masks: &Masks) -> Self {
        let is_there = |completion: &&CompletionFacts| {
            completion.n_tokens > 0
                && !completion.is_demonstration
                && !(masks.zero_advantage && completion.advantage == 0.0)
        };
        let there = completions.iter().filter(is_there);
        let weighed = there.clone().filter(|completion| masks.keep(completion));
        Self {
            n_completions: there.count(),
            n_tokens: weighed.map(|completion| completion.n_tokens).sum(),
            n_demonstrated: demonstrated(completions),
        }
    }
}

fn demonstrated(completions: &[CompletionFacts]) -> usize {
    let demonstrations = completions.iter().filter(|completion| completion.is_demonstration);
    demonstrations.map(|completion| completion.n_tokens).sum()
}

impl std::ops::Add for UpdateCounts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            n_completions: self.n_completions + other.n_completions,
            n_tokens: self.n_tokens + other.n_tokens,
            n_demonstrated: self.n_demonstrated + other.n_demonstrated,
        }
    }
}

impl Masks {
    /// Whether the tokens of a completion weigh anything.
    fn keep(&self, completion: &CompletionFacts) -> bool {
        let is_truncated = self.truncated && completion.is_truncated;
        let is_without_advantage = self.zero_advantage && completion.advantage == 0.0;
        !is_truncated && !is_without_advantage && !completion.is_demonstration
    }
}

impl Aggregation {
    /// Weight of each token of a completion, by its number of tokens.
    fn weight(self, n_tokens: usize, counts: &UpdateCounts, max_tokens: usize) -> f64 {
        let n_completions = counts.n_completions as f64;
        match self {
            Self::SequenceMean => 1.0 / (n_tokens as f64 * n_completions),
            Self::TokenMean => 1.0 / counts.n_tokens as f64,
            Self::SequenceSum => 1.0 / n_completions,
            Self::ConstantLength { length } => {
                1.0 / (n_completions * length.unwrap_or(max_tokens) as f64)
            }
        }
    }
}

/// The weight of each token, completion after completion, by the configured aggregation and masks.
///
/// `counts` are those of the whole update, of which `completions` may be a part; `max_tokens` is the longest completion
/// that could have been sampled.
pub fn loss_weights(
    config: &LossConfig,
    completions: &[CompletionFacts],
    counts: &UpdateCounts,
    max_tokens: usize,
) -> Vec<f32> {
    let of_completion = |completion: &CompletionFacts| {
        let n_tokens = completion.n_tokens;
        let weight = if config.masks.keep(completion) {
            config.aggregation.weight(n_tokens, counts, max_tokens) as f32
        } else {
            0.0
        };
        std::iter::repeat_n(weight, n_tokens)
    };
    completions.iter().flat_map(of_completion).collect()
}

/// The weight of each token in the imitation of demonstrations: equal for all their tokens over the whole update, and 0
/// at the tokens of all other completions.
pub fn demonstration_weights(completions: &[CompletionFacts], counts: &UpdateCounts) -> Vec<f32> {
    let weight = 1.0 / counts.n_demonstrated.max(1) as f32;
    let of_completion = |completion: &CompletionFacts| {
        let weight = if completion.is_demonstration { weight } else { 0.0 };
        std::iter::repeat_n(weight, completion.n_tokens)
    };
    completions.iter().flat_map(of_completion).collect()
}

/// Weights for the mean over completions of the mean over tokens, one per token, completion after completion: GRPO's
/// own, and those of demonstrations. All sum to 1.
pub fn token_weights(lengths: &[usize]) -> Vec<f32> {
    let completion = |&n_tokens: &usize| CompletionFacts { n_tokens, ..CompletionFacts::default() };
    let completions: Vec<CompletionFacts> = lengths.iter().map(completion).collect();
    let config = LossConfig::default();
    let counts = UpdateCounts::of(&completions, &config.masks);
    loss_weights(&config, &completions, &counts, usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Preset;

    fn completion(n_tokens: usize) -> CompletionFacts {
        CompletionFacts { n_tokens, advantage: 1.0, ..CompletionFacts::default() }
    }
    #[track_caller]
    fn check(config: &LossConfig, completions: &[CompletionFacts], expect: &[f32]) {
        let counts = UpdateCounts::of(completions, &config.masks);
        assert_eq!(loss_weights(config, completions, &counts, 8), expect);
    }

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
    #[test]
    fn each_aggregation_weighs_in_its_own_way() {
        let completions = [completion(1), completion(3)];
        let sixth = 1.0 / 6.0;
        let dr_grpo = 1.0 / 16.0;
        for (preset, expect) in [
            (Preset::Grpo, [0.5, sixth, sixth, sixth]),
            (Preset::Dapo, [0.25; 4]),
            (Preset::Luspo, [0.5; 4]),
            (Preset::DrGrpo, [dr_grpo; 4]),
        ] {
            check(&LossConfig::of(preset), &completions, &expect);
        }
        let length = Some(4);
        let aggregation = Aggregation::ConstantLength { length };
        check(&LossConfig { aggregation, ..LossConfig::default() }, &completions, &[0.125; 4]);
    }
    #[test]
    fn a_truncated_completion_weighs_nothing_and_counts_as_one() {
        let cut = CompletionFacts { is_truncated: true, ..completion(1) };
        let masks = Masks { truncated: true, ..Masks::default() };
        let config = LossConfig { masks: masks.clone(), ..LossConfig::default() };
        check(&config, &[cut, completion(2)], &[0.0, 0.25, 0.25]);
        let by_token = LossConfig { masks, ..LossConfig::of(Preset::Dapo) };
        check(&by_token, &[cut, completion(2)], &[0.0, 0.5, 0.5]);
    }
    #[test]
    fn a_completion_without_an_advantage_can_be_left_out_of_every_count() {
        let equal = CompletionFacts { advantage: 0.0, ..completion(1) };
        check(&LossConfig::default(), &[equal, completion(2)], &[0.5, 0.25, 0.25]);
        let masks = Masks { zero_advantage: true, ..Masks::default() };
        let config = LossConfig { masks, ..LossConfig::default() };
        check(&config, &[equal, completion(2)], &[0.0, 0.5, 0.5]);
    }
    #[test]
    fn a_demonstration_weighs_in_the_imitation_alone() {
        let shown = CompletionFacts { is_demonstration: true, ..completion(2) };
        check(
            &LossConfig::default(),
            &[completion(1), shown, completion(2)],
            &[0.5, 0.0, 0.0, 0.25, 0.25],
        );
        let mine = [completion(1), shown];
        let of = |completions: &[CompletionFacts]| UpdateCounts::of(completions, &Masks::default());
        let counts = of(&mine) + of(&[shown]);
        assert_eq!((counts.n_completions, counts.n_demonstrated), (1, 4));
        assert_eq!(demonstration_weights(&mine, &counts), [0.0, 0.25, 0.25]);
    }
    #[test]
    fn two_learners_weigh_as_one_that_has_all_completions() {
        let (mine, theirs) = ([completion(1), completion(3)], [completion(2)]);
        for (_, preset) in Preset::ALL {
            let config = LossConfig::of(preset);
            let of = |completions: &[CompletionFacts]| UpdateCounts::of(completions, &config.masks);
            let counts = of(&mine) + of(&theirs);
            let parts = [&mine[..], &theirs].map(|part| loss_weights(&config, part, &counts, 8));
            let all = [mine[0], mine[1], theirs[0]];
            check(&config, &all, &parts.concat());
        }
    }
}
