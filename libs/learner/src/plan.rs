//! What the loss of a reinforcement step takes besides its completions, the same for all its micro-batches.

use std::ops::Range;

use vrft_objective::config::{KlPlace, LossConfig};

use crate::TrainGroup;
use crate::micro_batch::{Sequence, Unit};

/// Numbers by token or completion, group after group, as they stand for the update that comes next.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    groups: &'a [TrainGroup],
    /// The configured loss, with the coefficients of this step.
    pub(crate) loss: LossConfig,
    /// By completion.
    advantages: Vec<f32>,
    /// By token, see [`vrft_objective::loss_weights`].
    weights: Vec<f32>,
    /// By token: of the policy before its first update from these completions. The sampler's unless they were
    /// computed again.
    old_logprobs: Option<Vec<f32>>,
    /// By token: of the reference policy, where one pass has to do for several updates.
    ref_logprobs: Option<Vec<f32>>,
    /// Entropy that a token must have to count.
    pub(crate) entropy_threshold: Option<f32>,
    /// Tokens that the entropy bonus is the mean of.
    pub(crate) n_entropy_tokens: usize,
}

impl<'a> Plan<'a> {
    pub(crate) fn new(groups: &'a [TrainGroup], loss: LossConfig) -> Self {
        let completions = || groups.iter().flat_map(|group| &group.completions);
        let lengths: Vec<usize> = completions().map(|c| c.token_ids.len()).collect();
        let truncated: Vec<bool> = completions().map(|c| c.truncated).collect();
        let weights = vrft_objective::loss_weights(&loss, &lengths, &truncated);
        Self {
            groups,
            advantages: completions().map(|c| c.advantage).collect(),
            n_entropy_tokens: weights.iter().filter(|weight| **weight > 0.0).count(),
            weights,
            loss,
            old_logprobs: None,
            ref_logprobs: None,
            entropy_threshold: None,
        }
    }

    /// Sum of the weights of all tokens: what a weighted sum has to be divided by to be a mean.
    pub(crate) fn total_weight(&self) -> f64 {
        self.weights.iter().map(|weight| f64::from(*weight)).sum()
    }

    /// Whether logprobs at the start of the step are to be computed again.
    pub(crate) fn wants_old_logprobs(&self) -> bool {
        self.loss.sampler_correction.is_some() && self.old_logprobs.is_none()
    }

    /// Whether entropies are to be known before the update.
    pub(crate) fn wants_entropies(&self) -> bool {
        self.loss.top_entropy < 1.0
    }

    /// Whether the reference policy's logprobs are to be known before the update.
    pub(crate) fn wants_ref_logprobs(&self, iterations: usize) -> bool {
        let early = iterations > 1 || self.loss.kl_in == KlPlace::Reward;
        self.loss.kl_coef != 0.0 && early && self.ref_logprobs.is_none()
    }

    pub(crate) fn set_old_logprobs(&mut self, logprobs: Vec<f32>) {
        self.old_logprobs = Some(logprobs);
    }

    /// Takes the choice of tokens from the entropies of all.
    pub(crate) fn set_entropies(&mut self, entropies: &[f32]) {
        let weighed = entropies.iter().zip(&self.weights).filter(|(_, weight)| **weight > 0.0);
        let entropies: Vec<f32> = weighed.map(|(entropy, _)| *entropy).collect();
        let (threshold, n_tokens) =
            vrft_objective::entropy_threshold(&entropies, self.loss.top_entropy);
        (self.entropy_threshold, self.n_entropy_tokens) = (Some(threshold), n_tokens);
    }

    /// Keeps the reference's logprobs, and takes the KL from the rewards if that is its place.
    pub(crate) fn set_ref_logprobs(&mut self, logprobs: Vec<f32>) {
        if self.loss.kl_in == KlPlace::Reward {
            let (mut first, mut idx) = (0, 0);
            for group in self.groups {
                let completions: Vec<_> = group
                    .completions
                    .iter()
                    .map(|completion| {
                        let old = &completion.old_logprobs[..];
                        first += old.len();
                        let reference = &logprobs[first - old.len()..first];
                        completion.is_scored.then_some((old, reference))
                    })
                    .collect();
                let shifts =
                    vrft_objective::kl_in_reward(&completions, self.loss.kl, self.loss.kl_coef);
                for shift in shifts {
                    self.advantages[idx] += shift;
                    idx += 1;
                }
            }
        }
        self.ref_logprobs = Some(logprobs);
    }

    /// All groups, each as one unit.
    pub(crate) fn units(&self) -> Vec<Unit<'_>> {
        let mut advantages = self.advantages.iter();
        let mut end = 0;
        let mut units = Vec::with_capacity(self.groups.len());
        for group in self.groups {
            let mut sequences = Vec::with_capacity(group.completions.len());
            for (completion, advantage) in group.completions.iter().zip(advantages.by_ref()) {
                let tokens = end..end + completion.token_ids.len();
                end = tokens.end;
                let sampler = &completion.old_logprobs[..];
                sequences.push(Sequence {
                    first_token: tokens.start,
                    token_ids: &completion.token_ids,
                    old_logprobs: part(&self.old_logprobs, &tokens).unwrap_or(sampler),
                    sampler_logprobs: sampler,
                    ref_logprobs: part(&self.ref_logprobs, &tokens).unwrap_or_default(),
                    advantage: *advantage,
                    weights: &self.weights[tokens.clone()],
                });
            }
            units.push(Unit { prompt: &group.prompt, sequences });
        }
        units
    }

    /// The completions that a gradient comes from: without a KL and without a bonus, those without an advantage
    /// have none.
    pub(crate) fn units_with_gradient(&self) -> Vec<Unit<'_>> {
        let mut units = self.units();
        let has_kl = self.loss.kl_coef != 0.0 && self.loss.kl_in == KlPlace::Loss;
        if !has_kl && self.loss.entropy_coef == 0.0 {
            for unit in &mut units {
                unit.sequences.retain(|sequence| sequence.advantage != 0.0);
            }
            units.retain(|unit| !unit.sequences.is_empty());
        }
        units
    }

    /// Completion tokens of the step.
    pub(crate) fn n_tokens(&self) -> usize {
        self.weights.len()
    }
}

/// Those of some tokens, where they are known.
fn part<'v>(values: &'v Option<Vec<f32>>, tokens: &Range<usize>) -> Option<&'v [f32]> {
    values.as_ref().map(|values| &values[tokens.clone()])
}
