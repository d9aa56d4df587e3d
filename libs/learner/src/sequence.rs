//! A completion as the loss sees it: numbers for each of its own tokens.

use vrft_processor::Insertion;

use crate::FirstTurn;

/// One completion with what the loss needs to know about each of its tokens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sequence<'a> {
    /// Place of its first token among all completion tokens of the step.
    pub(crate) first_token: usize,
    pub(crate) token_ids: &'a [u32],
    /// What others say within it.
    pub(crate) inserted: &'a [Insertion],
    /// Empty where nothing was sampled and they are not computed apart: they are then those of the pass itself.
    pub(crate) old_logprobs: &'a [f32],
    /// The logprobs as the sampler computed them; empty likewise.
    pub(crate) sampler_logprobs: &'a [f32],
    /// Empty where they are not known beforehand.
    pub(crate) ref_logprobs: &'a [f32],
    pub(crate) advantage: f32,
    /// The credit of its first turn, where that is another one.
    pub(crate) first_turn: Option<FirstTurn>,
    /// See [`vrft_objective::loss_weights`]; over the whole step, so that the losses of micro-batches add up.
    pub(crate) weights: &'a [f32],
    /// The logprobs under the teacher; empty without one.
    pub(crate) teacher_logprobs: &'a [f32],
    /// How much each token counts in the imitation of demonstrations; empty without one.
    pub(crate) imitation_weights: &'a [f32],
    /// Whether it is imitated rather than judged.
    pub(crate) is_demonstration: bool,
}

impl Sequence<'_> {
    /// Tokens that pass through the policy, with those that others said.
    pub(crate) fn n_tokens(&self) -> usize {
        let inserted = self.inserted.iter().map(|insertion| insertion.tokens.token_ids.len());
        self.token_ids.len() + inserted.sum::<usize>()
    }

    /// The advantage of each of its tokens.
    pub(crate) fn advantages(&self) -> Vec<f32> {
        let mut advantages = vec![self.advantage; self.token_ids.len()];
        if let Some(first) = self.first_turn {
            advantages[..first.n_tokens].fill(first.advantage);
        }
        advantages
    }

    /// Whether no token of it has an advantage.
    pub(crate) fn has_no_advantage(&self) -> bool {
        self.advantage == 0.0 && self.first_turn.is_none_or(|first| first.advantage == 0.0)
    }
}
