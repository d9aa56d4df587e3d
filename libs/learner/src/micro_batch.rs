//! Micro-batches: a step cut into pieces whose activations fit into memory.
//!
//! Packed sequences need no padding, so a piece is full when its tokens are: the longest are placed first, each
//! into the first piece with room for it, which leaves the fewest pieces and with them the fewest repeated prompts.
//! A group is split only where the configuration asks for it: split in N, its prompt is computed N times.

use std::cmp::Reverse;

use candle_core::{Device, Result, Tensor};
use vrft_model::PackedGroup;
use vrft_plan::LearnerConfig;
use vrft_processor::{EncodedPrompt, Insertion};

use crate::Demonstration;
use crate::sequence::Sequence;

/// A group, or the part of it that one micro-batch takes: completions that share one pass over their prompt.
#[derive(Debug)]
pub(crate) struct GroupPart<'a> {
    pub(crate) prompt: &'a EncodedPrompt,
    pub(crate) sequences: Vec<Sequence<'a>>,
}

impl<'a> GroupPart<'a> {
    fn completions(&self) -> Vec<&'a [u32]> {
        self.sequences.iter().map(|sequence| sequence.token_ids).collect()
    }

    /// What is inserted into each completion; nothing at all where none is interrupted.
    fn inserted(&self) -> Vec<&'a [Insertion]> {
        if self.sequences.iter().all(|sequence| sequence.inserted.is_empty()) {
            return Vec::new();
        }
        self.sequences.iter().map(|sequence| sequence.inserted).collect()
    }

    /// Tokens of one pass, the prompt counted once.
    pub(crate) fn n_tokens(&self) -> usize {
        let completions: usize = self.sequences.iter().map(Sequence::n_tokens).sum();
        self.prompt.token_ids.len() + completions
    }
}

/// Groups, or parts of some, that pass through the policy together.
#[derive(Debug)]
pub(crate) struct MicroBatch<'a> {
    groups: Vec<GroupPart<'a>>,
}

/// The demonstrations of a supervised step, each as a group of one completion.
pub(crate) fn groups_of_demonstrations<'a>(
    demonstrations: &'a [Demonstration],
    weights: &'a [f32],
) -> Vec<GroupPart<'a>> {
    let mut end = 0;
    let group = |demonstration: &'a Demonstration| {
        let token_ids = &demonstration.token_ids[..];
        let first_token = end;
        end += token_ids.len();
        let sequence = Sequence {
            first_token,
            token_ids,
            inserted: &[],
            old_logprobs: &[],
            sampler_logprobs: &[],
            ref_logprobs: &[],
            teacher_logprobs: &[],
            advantage: 0.0,
            first_turn: None,
            weights: &weights[first_token..end],
            imitation_weights: &[],
            is_demonstration: false,
        };
        GroupPart { prompt: &demonstration.prompt, sequences: vec![sequence] }
    };
    demonstrations.iter().map(group).collect()
}

/// How many tokens pass through the policy together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    /// Groups go together as long as they have no more tokens than this.
    together: usize,
    /// Whether a group that alone has more is split, so that its prompt is computed again for each part.
    splits_groups: bool,
}

impl Room {
    pub(crate) fn of(learner: &LearnerConfig) -> Self {
        Self { together: learner.max_tokens_per_micro_batch, splits_groups: learner.split_groups }
    }
}

/// Cuts a step into micro-batches.
///
/// A group stays whole where it can; one that is too large alone is split over its completions, each part with
/// the prompt again, if that is asked for. A single completion is never cut, however long.
pub(crate) fn micro_batches(groups: Vec<GroupPart<'_>>, room: Room) -> Vec<MicroBatch<'_>> {
    let mut parts: Vec<GroupPart<'_>> = if room.splits_groups {
        groups.into_iter().flat_map(|group| split(group, room.together)).collect()
    } else {
        groups
    };
    parts.sort_by_key(|part| Reverse(part.n_tokens()));
    let mut batches: Vec<MicroBatch<'_>> = Vec::new();
    for part in parts {
        let n = part.n_tokens();
        match batches.iter_mut().find(|batch| batch.n_tokens() + n <= room.together) {
            Some(batch) => batch.groups.push(part),
            None => batches.push(MicroBatch { groups: vec![part] }),
        }
    }
    batches
}

fn split(mut group: GroupPart<'_>, max_tokens: usize) -> Vec<GroupPart<'_>> {
    if group.n_tokens() <= max_tokens {
        return vec![group];
    }
    group.sequences.sort_by_key(|sequence| Reverse(sequence.n_tokens()));
    let mut parts: Vec<GroupPart<'_>> = Vec::new();
    for sequence in group.sequences {
        let n = sequence.n_tokens();
        match parts.iter_mut().find(|part| part.n_tokens() + n <= max_tokens) {
            Some(part) => part.sequences.push(sequence),
            None => parts.push(GroupPart { prompt: group.prompt, sequences: vec![sequence] }),
        }
    }
    parts
}

/// How a step of equal groups is cut, for who is to be told before a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MicroBatchPlan {
    /// Groups that pass through the policy together, at least 1.
    pub groups_together: usize,
    /// Parts that each group is cut into; 1 leaves it whole.
    pub parts_per_group: usize,
    /// Tokens of the largest micro-batch.
    pub largest: usize,
    /// Tokens of prompts that a step computes more than once.
    pub repeated_tokens: usize,
}

impl MicroBatchPlan {
    /// The plan for groups of `group_size` completions of `completion_tokens` to a prompt of `prompt_tokens`.
    pub fn new(
        learner: &LearnerConfig,
        prompt_tokens: usize,
        group_size: usize,
        completion_tokens: usize,
    ) -> Self {
        let room = Room::of(learner);
        let group = prompt_tokens + group_size * completion_tokens;
        let n_groups = learner.prompts_per_step;
        if group <= room.together || !room.splits_groups {
            let groups_together = (room.together / group.max(1)).clamp(1, n_groups.max(1));
            return Self {
                groups_together,
                parts_per_group: 1,
                largest: groups_together * group,
                repeated_tokens: 0,
            };
        }
        let spare = room.together.saturating_sub(prompt_tokens);
        let per_part = (spare / completion_tokens.max(1)).clamp(1, group_size.max(1));
        let parts_per_group = group_size.div_ceil(per_part).max(1);
        Self {
            groups_together: 1,
            parts_per_group,
            largest: prompt_tokens + per_part * completion_tokens,
            repeated_tokens: n_groups * (parts_per_group - 1) * prompt_tokens,
        }
    }
}

impl<'a> MicroBatch<'a> {
    /// Groups, or parts of some, in it.
    pub(crate) fn n_groups(&self) -> usize {
        self.groups.len()
    }

    /// The prompts, each once.
    pub(crate) fn prompts(&self) -> impl Iterator<Item = &'a EncodedPrompt> {
        self.groups.iter().map(|group| group.prompt)
    }

    /// Whether this very prompt is one of them, not one that looks the same.
    pub(crate) fn has_prompt(&self, prompt: &EncodedPrompt) -> bool {
        self.prompts().any(|own| std::ptr::eq(own, prompt))
    }

    /// Calls `forward` with the groups as the policy takes them.
    pub(crate) fn with_packed<T>(&self, forward: impl FnOnce(&[PackedGroup<'_>]) -> T) -> T {
        let read = |group: &GroupPart<'a>| (group.completions(), group.inserted());
        let parts: Vec<_> = self.groups.iter().map(read).collect();
        let groups = self.groups.iter().zip(&parts);
        let packed = groups.map(|(group, (completions, inserted))| PackedGroup {
            prompt: group.prompt,
            completions,
            inserted,
        });
        forward(&packed.collect::<Vec<_>>())
    }

    /// Tokens of the pass.
    pub(crate) fn n_tokens(&self) -> usize {
        self.groups.iter().map(GroupPart::n_tokens).sum()
    }

    /// Completion tokens: the length of every tensor below.
    pub(crate) fn n_completion_tokens(&self) -> usize {
        self.sequences().map(|sequence| sequence.token_ids.len()).sum()
    }

    /// Puts numbers of the pass's completion tokens to their places among those of the whole step.
    pub(crate) fn scatter(&self, mut values: &[f32], to: &mut [f32]) {
        for sequence in self.sequences() {
            let (own, others) = values.split_at(sequence.token_ids.len());
            to[sequence.first_token..][..own.len()].copy_from_slice(own);
            values = others;
        }
    }

    /// (N,): logprobs of the completion tokens under the policy before the step. `current` are those of the pass, (N,):
    /// they stand for themselves where no policy sampled the tokens, so that the ratio is 1.
    pub(crate) fn old_logprobs(&self, current: &Tensor) -> Result<Tensor> {
        self.known_or(current, |sequence| sequence.old_logprobs)
    }

    /// (N,): logprobs of the completion tokens as the sampler computed them; as above where there was none.
    pub(crate) fn sampler_logprobs(&self, current: &Tensor) -> Result<Tensor> {
        self.known_or(current, |sequence| sequence.sampler_logprobs)
    }

    /// (N,): the weight of each completion token in the imitation of demonstrations, where there is one.
    pub(crate) fn imitation_weights(&self, device: &Device) -> Result<Option<Tensor>> {
        let weights = self.per_token(device, |sequence| sequence.imitation_weights.to_vec())?;
        Ok((weights.dims1()? == self.n_completion_tokens()).then_some(weights))
    }

    /// Numbers that some sequences have beforehand, and the current ones of the others.
    fn known_or(
        &self,
        current: &Tensor,
        known: impl Fn(&Sequence<'a>) -> &'a [f32],
    ) -> Result<Tensor> {
        let is_known = |sequence: &Sequence<'a>| !known(sequence).is_empty();
        if self.sequences().all(is_known) {
            return self.per_token(current.device(), |sequence| known(sequence).to_vec());
        }
        let mut values = current.to_vec1::<f32>()?;
        let mut rest = &mut values[..];
        for sequence in self.sequences() {
            let (own, others) = rest.split_at_mut(sequence.token_ids.len());
            rest = others;
            if is_known(sequence) {
                own.copy_from_slice(known(sequence));
            }
        }
        Tensor::new(values, current.device())
    }

    /// (N,): logprobs of the completion tokens under the reference policy, if they are known already.
    pub(crate) fn ref_logprobs(&self, device: &Device) -> Result<Option<Tensor>> {
        let known = self.per_token(device, |sequence| sequence.ref_logprobs.to_vec())?;
        Ok((known.dims1()? == self.n_completion_tokens()).then_some(known))
    }

    /// (N,): logprobs of the completion tokens under the teacher, if there is one.
    pub(crate) fn teacher_logprobs(&self, device: &Device) -> Result<Option<Tensor>> {
        let known = self.per_token(device, |sequence| sequence.teacher_logprobs.to_vec())?;
        Ok((known.dims1()? == self.n_completion_tokens()).then_some(known))
    }

    /// Tokens of each completion.
    pub(crate) fn lengths(&self) -> Vec<usize> {
        self.sequences().map(|sequence| sequence.token_ids.len()).collect()
    }

    /// (N,): the advantage of each completion, at each of its tokens.
    pub(crate) fn advantages(&self, device: &Device) -> Result<Tensor> {
        self.per_token(device, Sequence::advantages)
    }

    /// (N,): how much each completion token counts in the step.
    pub(crate) fn token_weights(&self, device: &Device) -> Result<Tensor> {
        self.per_token(device, |sequence| sequence.weights.to_vec())
    }

    fn sequences(&self) -> impl Iterator<Item = &Sequence<'a>> {
        self.groups.iter().flat_map(|group| &group.sequences)
    }

    fn per_token(
        &self,
        device: &Device,
        values: impl Fn(&Sequence<'a>) -> Vec<f32>,
    ) -> Result<Tensor> {
        Tensor::new(self.sequences().flat_map(values).collect::<Vec<_>>(), device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vrft_objective::UpdateCounts;
    use vrft_objective::config::{LossConfig, Masks};

    use crate::plan::{Plan, facts};
    use crate::{TrainCompletion, TrainGroup};

    /// Groups of 10 prompt tokens, with completions of these lengths.
    fn groups(lengths: &[&[usize]]) -> Vec<TrainGroup> {
        let completion = |&length: &usize| TrainCompletion {
            token_ids: vec![1; length],
            old_logprobs: vec![-1.0; length],
            advantage: 1.0,
            truncated: false,
            is_scored: true,
            origin: crate::Origin::Sampled,
            inserted: vec![],
            first_turn: None,
        };
        let group = |(id, lengths): (usize, &&[usize])| TrainGroup {
            prompt_id: id as u64,
            hinted: None,
            prompt: EncodedPrompt {
                token_ids: vec![2; 10],
                positions: vec![[0; 3]; 10],
                images: vec![],
            },
            completions: lengths.iter().map(completion).collect(),
        };
        lengths.iter().enumerate().map(group).collect()
    }

    /// Completion lengths by micro-batch and group.
    #[track_caller]
    fn check(lengths: &[&[usize]], max_tokens: usize, expect: &[&[&[usize]]]) {
        check_with(true, lengths, max_tokens, expect);
    }
    #[track_caller]
    fn check_with(
        splits_groups: bool,
        lengths: &[&[usize]],
        max_tokens: usize,
        expect: &[&[&[usize]]],
    ) {
        let groups = groups(lengths);
        let lengths: Vec<usize> = lengths.iter().copied().flatten().copied().collect();
        let weights = vrft_objective::token_weights(&lengths);
        let counts = UpdateCounts::of(&facts(&groups), &Masks::default());
        let plan = Plan::new(&groups, LossConfig::default(), &counts, 64, 0);
        let room = Room { together: max_tokens, splits_groups };
        let batches = micro_batches(plan.whole_groups(), room);
        let got: Vec<Vec<Vec<usize>>> = batches
            .iter()
            .map(|batch| {
                let lengths = |group: &GroupPart<'_>| {
                    group.sequences.iter().map(|s| s.token_ids.len()).collect::<Vec<_>>()
                };
                batch.groups.iter().map(lengths).collect()
            })
            .collect();
        assert_eq!(got, expect);
        let mut in_order = vec![0.0; weights.len()];
        for batch in &batches {
            let weights = batch.token_weights(&Device::Cpu).unwrap().to_vec1::<f32>().unwrap();
            batch.scatter(&weights, &mut in_order);
        }
        assert_eq!(in_order, weights);
    }

    #[test]
    fn what_fits_stays_together() {
        check(&[&[5, 5], &[5, 5]], 40, &[&[&[5, 5], &[5, 5]]]);
    }

    #[test]
    fn groups_are_kept_whole() {
        check(&[&[5, 5], &[5, 5]], 39, &[&[&[5, 5]], &[&[5, 5]]]);
    }

    #[test]
    fn a_large_group_is_split_over_its_completions() {
        check(&[&[5, 5, 5]], 20, &[&[&[5, 5]], &[&[5]]]);
    }

    #[test]
    fn the_rest_of_a_split_group_shares_with_another() {
        check(&[&[5, 5, 5], &[2]], 27, &[&[&[5, 5, 5]], &[&[2]]]);
        check(&[&[9, 9, 2], &[1]], 28, &[&[&[9, 9]], &[&[2], &[1]]]);
    }

    #[test]
    fn the_longest_come_first_and_short_ones_fill_the_gaps() {
        check(&[&[2], &[9, 9], &[3], &[8, 9]], 41, &[&[&[9, 9], &[3]], &[&[8, 9], &[2]]]);
        check(&[&[4, 8, 4, 8]], 22, &[&[&[8, 4]], &[&[8, 4]]]);
    }

    #[test]
    fn a_completion_is_never_cut() {
        check(&[&[50, 1]], 20, &[&[&[50]], &[&[1]]]);
    }

    #[test]
    fn without_splitting_a_large_group_passes_alone_and_whole() {
        check_with(false, &[&[30, 20], &[5, 5], &[5]], 40, &[&[&[30, 20]], &[&[5, 5], &[5]]]);
        check_with(false, &[&[5, 5], &[5, 5]], 1, &[&[&[5, 5]], &[&[5, 5]]]);
    }

    #[track_caller]
    fn check_plan(
        max_tokens_per_micro_batch: usize,
        split_groups: bool,
        prompts_per_step: usize,
        expect: MicroBatchPlan,
    ) {
        let learner = LearnerConfig {
            max_tokens_per_micro_batch,
            split_groups,
            prompts_per_step,
            ..LearnerConfig::default()
        };
        // A prompt with 512 visual tokens and 8 completions of 256: the sizes of Visual-RFT's 2B runs.
        assert_eq!(MicroBatchPlan::new(&learner, 535, 8, 256), expect);
    }

    #[test]
    fn what_a_split_costs_is_known_before_the_run() {
        let group = 535 + 8 * 256;
        let whole = MicroBatchPlan {
            groups_together: 1,
            parts_per_group: 1,
            largest: group,
            repeated_tokens: 0,
        };
        check_plan(1024, false, 1, whole);
        check_plan(4096, true, 8, whole);
        check_plan(
            6000,
            false,
            8,
            MicroBatchPlan { groups_together: 2, largest: 2 * group, ..whole },
        );
        let largest = 535 + 256;
        let split = MicroBatchPlan {
            groups_together: 1,
            parts_per_group: 8,
            largest,
            repeated_tokens: 7 * 535,
        };
        check_plan(1024, true, 1, split);
        let largest = 535 + 4 * 256;
        let half =
            MicroBatchPlan { parts_per_group: 2, largest, repeated_tokens: 2 * 535, ..split };
        check_plan(1600, true, 2, half);
    }
}
