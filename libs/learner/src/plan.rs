//! What the loss of a reinforcement step takes besides its completions, the same for all its micro-batches.

use std::ops::Range;

use vrft_objective::config::{KlPlace, LossConfig};
use vrft_objective::{CompletionFacts, UpdateCounts};
use vrft_processor::EncodedPrompt;

use crate::batch::Origin;
use crate::micro_batch::GroupPart;
use crate::sequence::Sequence;
use crate::{FirstTurn, TrainGroup};

/// Numbers by token or completion, group after group, as they stand for the update that comes next.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    groups: &'a [TrainGroup],
    /// The configured loss, with the coefficients of this step.
    pub(crate) loss: LossConfig,
    /// The advantage of each completion.
    advantages: Vec<f32>,
    /// By token, see [`vrft_objective::loss_weights`].
    weights: Vec<f32>,
    /// By token: logprobs under the policy before its first update from these completions. The sampler's unless they
    /// were computed again.
    old_logprobs: Option<Vec<f32>>,
    /// By token: logprobs under the reference policy, where one pass has to do for several updates.
    ref_logprobs: Option<Vec<f32>>,
    /// By token: logprobs under the teacher, which was told the true answer.
    teacher_logprobs: Option<Vec<f32>>,
    /// Whether tokens are weighed by the picture already.
    is_weighed_by_picture: bool,
    /// Entropy that a token must have to count.
    pub(crate) entropy_threshold: Option<f32>,
    /// Tokens of the whole update that the entropy bonus is the mean of.
    pub(crate) n_entropy_tokens: usize,
    /// The share of imitation in this step; 0 without `[loss.chord]`.
    pub(crate) imitation_share: f64,
    /// By token, see [`vrft_objective::demonstration_weights`]; empty without `[loss.chord]`.
    imitation_weights: Vec<f32>,
}

/// The completions of these groups, as far as the weights of their tokens depend on them.
pub(crate) fn facts(groups: &[TrainGroup]) -> Vec<CompletionFacts> {
    let completions = groups.iter().flat_map(|group| &group.completions);
    let facts = completions.map(|completion| CompletionFacts {
        n_tokens: completion.token_ids.len(),
        is_truncated: completion.truncated,
        advantage: match completion.first_turn {
            Some(first) if completion.advantage == 0.0 => first.advantage,
            _ => completion.advantage,
        },
        is_demonstration: completion.origin == Origin::Demonstration,
    });
    facts.collect()
}

impl<'a> Plan<'a> {
    /// `counts` are those of the whole update, of which these groups may be a part; `max_tokens` is the longest
    /// completion that could have been sampled, `step` the number of steps made before.
    pub(crate) fn new(
        groups: &'a [TrainGroup],
        loss: LossConfig,
        counts: &UpdateCounts,
        max_tokens: usize,
        step: u64,
    ) -> Self {
        let facts = facts(groups);
        let completions = groups.iter().flat_map(|group| &group.completions);
        let weights = vrft_objective::loss_weights(&loss, &facts, counts, max_tokens);
        let imitation_weights = match &loss.chord {
            Some(_) => vrft_objective::demonstration_weights(&facts, counts),
            None => Vec::new(),
        };
        Self {
            groups,
            advantages: completions.map(|completion| completion.advantage).collect(),
            n_entropy_tokens: counts.n_tokens,
            weights,
            imitation_share: loss.chord.as_ref().map_or(0.0, |chord| chord.mu_at(step)),
            imitation_weights,
            loss,
            old_logprobs: None,
            ref_logprobs: None,
            teacher_logprobs: None,
            is_weighed_by_picture: false,
            entropy_threshold: None,
        }
    }

    /// Sum of the weights of all tokens: what a weighted sum has to be divided by to be a mean.
    pub(crate) fn total_weight(&self) -> f64 {
        self.weights.iter().map(|weight| f64::from(*weight)).sum()
    }

    /// Whether logprobs at the start of the step are to be computed again: to correct for the sampler, or for true answers,
    /// which no policy sampled, where the first update would change them.
    pub(crate) fn wants_old_logprobs(&self, iterations: usize) -> bool {
        let corrects = self.loss.sampler_correction.is_some();
        (corrects || (iterations > 1 && self.has_truths())) && self.old_logprobs.is_none()
    }

    fn has_truths(&self) -> bool {
        let mut completions = self.groups.iter().flat_map(|group| &group.completions);
        completions.any(|completion| completion.origin == Origin::Truth)
    }

    /// Whether entropies are to be known before the update.
    pub(crate) fn wants_entropies(&self) -> bool {
        self.loss.masks.top_entropy < 1.0
    }

    /// Whether the reference policy's logprobs are to be known before the update.
    pub(crate) fn wants_ref_logprobs(&self, iterations: usize) -> bool {
        let early = iterations > 1 || self.loss.kl_in == KlPlace::Reward;
        self.loss.has_kl() && early && self.ref_logprobs.is_none()
    }

    pub(crate) fn set_old_logprobs(&mut self, logprobs: Vec<f32>) {
        self.old_logprobs = Some(logprobs);
    }

    /// Chooses the tokens that count from the entropies of all: those of this learner's, which is all of the update
    /// as long as learners do not share one.
    pub(crate) fn set_entropies(&mut self, entropies: &[f32]) {
        let weighed = entropies.iter().zip(&self.weights).filter(|(_, weight)| **weight > 0.0);
        let entropies: Vec<f32> = weighed.map(|(entropy, _)| *entropy).collect();
        let (threshold, n_tokens) =
            vrft_objective::entropy_threshold(&entropies, self.loss.masks.top_entropy);
        self.entropy_threshold = Some(threshold);
        self.n_entropy_tokens = n_tokens;
    }

    /// Keeps the reference's logprobs, and takes the KL from the rewards if that is its place.
    pub(crate) fn set_ref_logprobs(&mut self, logprobs: Vec<f32>) {
        if self.loss.kl_in == KlPlace::Reward {
            self.take_kl_from_rewards(&logprobs);
        }
        self.ref_logprobs = Some(logprobs);
    }

    fn take_kl_from_rewards(&mut self, mut ref_logprobs: &[f32]) {
        let mut advantages = self.advantages.iter_mut();
        for group in self.groups {
            let mut completions = Vec::with_capacity(group.completions.len());
            for completion in &group.completions {
                let (reference, rest) = ref_logprobs.split_at(completion.token_ids.len());
                ref_logprobs = rest;
                let counts = completion.is_scored && completion.origin == Origin::Sampled;
                completions.push(counts.then_some((&completion.old_logprobs[..], reference)));
            }
            let shifts =
                vrft_objective::kl_in_reward(&completions, self.loss.kl, self.loss.kl_coef);
            for (advantage, shift) in advantages.by_ref().zip(shifts) {
                *advantage += shift;
            }
        }
    }

    /// All groups, each whole.
    pub(crate) fn whole_groups(&self) -> Vec<GroupPart<'_>> {
        let mut advantages = self.advantages.iter();
        let mut end = 0;
        let mut groups = Vec::with_capacity(self.groups.len());
        for group in self.groups {
            let mut sequences = Vec::with_capacity(group.completions.len());
            for (completion, advantage) in group.completions.iter().zip(advantages.by_ref()) {
                let tokens = end..end + completion.token_ids.len();
                end = tokens.end;
                let again = part(&self.old_logprobs, &tokens);
                let (sampler, old) = match completion.origin {
                    Origin::Sampled => {
                        let sampler = &completion.old_logprobs[..];
                        let corrects = self.loss.sampler_correction.is_some();
                        (sampler, again.filter(|_| corrects).unwrap_or(sampler))
                    }
                    // Nothing was sampled, so that there is no sampler to correct for.
                    Origin::Truth | Origin::Demonstration => {
                        let old = again.unwrap_or_default();
                        (old, old)
                    }
                };
                sequences.push(Sequence {
                    first_token: tokens.start,
                    token_ids: &completion.token_ids,
                    inserted: &completion.inserted,
                    old_logprobs: old,
                    sampler_logprobs: sampler,
                    ref_logprobs: part(&self.ref_logprobs, &tokens).unwrap_or_default(),
                    teacher_logprobs: part(&self.teacher_logprobs, &tokens).unwrap_or_default(),
                    advantage: *advantage,
                    // What was added to the advantage is about all of the completion.
                    first_turn: completion.first_turn.map(|first| FirstTurn {
                        advantage: first.advantage + (advantage - completion.advantage),
                        ..first
                    }),
                    weights: &self.weights[tokens.clone()],
                    imitation_weights: self.imitation_weights.get(tokens).unwrap_or_default(),
                    is_demonstration: completion.origin == Origin::Demonstration,
                });
            }
            groups.push(GroupPart { prompt: &group.prompt, sequences });
        }
        groups
    }

    /// All groups, each whole, their completions behind other prompts than they were sampled from.
    pub(crate) fn groups_behind<'s>(&'s self, prompts: &'s [EncodedPrompt]) -> Vec<GroupPart<'s>> {
        let mut groups = self.whole_groups();
        for (group, prompt) in groups.iter_mut().zip(prompts) {
            group.prompt = prompt;
        }
        groups
    }

    /// The prompts with the true answers in them, where a teacher is yet to be asked with those.
    pub(crate) fn unasked_hints(&self) -> Option<Vec<EncodedPrompt>> {
        if self.loss.self_distillation.is_none() || self.teacher_logprobs.is_some() {
            return None;
        }
        self.groups.iter().map(|group| group.hinted.clone()).collect()
    }

    pub(crate) fn set_teacher_logprobs(&mut self, logprobs: Vec<f32>) {
        self.teacher_logprobs = Some(logprobs);
    }

    /// The prompts with pictures without detail, where tokens are yet to be weighed by what the pictures add.
    pub(crate) fn prompts_without_detail(&self) -> Option<Vec<EncodedPrompt>> {
        if self.loss.visual.is_none() || self.is_weighed_by_picture {
            return None;
        }
        Some(self.groups.iter().map(|group| group.prompt.without_detail()).collect())
    }

    /// Weighs the tokens that were sampled by what the picture adds to their logprobs. `unseen` has a number for each token.
    /// Gives the mean of that.
    pub(crate) fn weigh_by_picture(&mut self, mut unseen: &[f32]) -> f64 {
        let Some(visual) = &self.loss.visual else { return 0.0 };
        let mut weights = &mut self.weights[..];
        let (mut sum, mut n_tokens) = (0.0, 0);
        for group in self.groups {
            let (mut of_seen, mut of_unseen, mut own_weights) = (vec![], vec![], vec![]);
            for completion in &group.completions {
                let n = completion.token_ids.len();
                let (own, rest) = unseen.split_at(n);
                let (own_weight, rest_weights) = weights.split_at_mut(n);
                (unseen, weights) = (rest, rest_weights);
                if completion.origin == Origin::Sampled {
                    of_seen.push(&completion.old_logprobs[..]);
                    of_unseen.push(own);
                    own_weights.push(own_weight);
                }
            }
            let tokens = of_seen.iter().copied().flatten().zip(of_unseen.iter().copied().flatten());
            sum += tokens.map(|(seen, unseen)| f64::from(seen - unseen)).sum::<f64>();
            let factors = vrft_objective::visual_factors(&of_seen, &of_unseen, visual);
            n_tokens += factors.len();
            own_weights.into_iter().flatten().zip(factors).for_each(|(weight, by)| *weight *= by);
        }
        self.is_weighed_by_picture = true;
        sum / n_tokens.max(1) as f64
    }

    /// The completions that a gradient comes from: without a KL and without a bonus, those without an advantage have
    /// none, and where such completions are masked they never have one. Demonstrations always do.
    pub(crate) fn groups_with_gradient(&self) -> Vec<GroupPart<'_>> {
        let mut groups = self.whole_groups();
        if self.loss.masks.zero_advantage || !self.loss.has_gradient_without_advantage() {
            for group in &mut groups {
                group
                    .sequences
                    .retain(|sequence| !sequence.has_no_advantage() || sequence.is_demonstration);
            }
            groups.retain(|group| !group.sequences.is_empty());
        }
        groups
    }

    /// Completion tokens of the step.
    pub(crate) fn n_tokens(&self) -> usize {
        self.weights.len()
    }
}

/// The values of some tokens, where they are known.
fn part<'v>(values: &'v Option<Vec<f32>>, tokens: &Range<usize>) -> Option<&'v [f32]> {
    values.as_ref().map(|values| &values[tokens.clone()])
}
