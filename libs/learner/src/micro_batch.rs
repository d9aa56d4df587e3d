//! Micro-batches: a step cut into pieces whose activations fit into memory.
//!
//! Packed sequences need no padding, so a piece is full when its tokens are: the longest are placed first, each
//! into the first piece with room for it, which leaves the fewest pieces and with them the fewest repeated prompts.

use std::cmp::Reverse;

use candle_core::{Device, Result, Tensor};
use vrft_model::PackedGroup;
use vrft_processor::EncodedPrompt;

use crate::Demonstration;

/// One completion with what the loss needs to know about each of its tokens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sequence<'a> {
    /// Place of its first token among all completion tokens of the step.
    pub(crate) first_token: usize,
    pub(crate) token_ids: &'a [u32],
    /// Empty for a demonstration, which nobody sampled.
    pub(crate) old_logprobs: &'a [f32],
    /// As the sampler computed them; empty likewise.
    pub(crate) sampler_logprobs: &'a [f32],
    /// Empty where they are not known beforehand.
    pub(crate) ref_logprobs: &'a [f32],
    pub(crate) advantage: f32,
    /// See [`vrft_objective::loss_weights`]; over the whole step, so that the losses of micro-batches add up.
    pub(crate) weights: &'a [f32],
}

/// Completions that share one pass over their prompt.
#[derive(Debug)]
pub(crate) struct Unit<'a> {
    pub(crate) prompt: &'a EncodedPrompt,
    pub(crate) sequences: Vec<Sequence<'a>>,
}

impl<'a> Unit<'a> {
    fn completions(&self) -> Vec<&'a [u32]> {
        self.sequences.iter().map(|sequence| sequence.token_ids).collect()
    }

    /// Tokens of one pass, the prompt counted once.
    pub(crate) fn n_tokens(&self) -> usize {
        let completions: usize = self.sequences.iter().map(|s| s.token_ids.len()).sum();
        self.prompt.token_ids.len() + completions
    }
}

/// Units that pass through the policy together.
#[derive(Debug)]
pub(crate) struct MicroBatch<'a> {
    units: Vec<Unit<'a>>,
}

/// The units of a supervised step.
pub(crate) fn units_of_demonstrations<'a>(
    demonstrations: &'a [Demonstration],
    weights: &'a [f32],
) -> Vec<Unit<'a>> {
    let mut end = 0;
    let unit = |demonstration: &'a Demonstration| {
        let token_ids = &demonstration.token_ids[..];
        let first_token = end;
        end += token_ids.len();
        let sequence = Sequence {
            first_token,
            token_ids,
            old_logprobs: &[],
            sampler_logprobs: &[],
            ref_logprobs: &[],
            advantage: 0.0,
            weights: &weights[first_token..end],
        };
        Unit { prompt: &demonstration.prompt, sequences: vec![sequence] }
    };
    demonstrations.iter().map(unit).collect()
}

/// Cuts a step into micro-batches of at most `max_tokens`.
///
/// A unit stays whole where it can; one that is too large alone is split over its completions, each part with
/// the prompt again. A single completion is never cut, however long.
pub(crate) fn micro_batches(units: Vec<Unit<'_>>, max_tokens: usize) -> Vec<MicroBatch<'_>> {
    let mut parts: Vec<Unit<'_>> =
        units.into_iter().flat_map(|unit| split(unit, max_tokens)).collect();
    parts.sort_by_key(|part| Reverse(part.n_tokens()));
    let mut batches: Vec<MicroBatch<'_>> = Vec::new();
    for part in parts {
        let n = part.n_tokens();
        match batches.iter_mut().find(|batch| batch.n_tokens() + n <= max_tokens) {
            Some(batch) => batch.units.push(part),
            None => batches.push(MicroBatch { units: vec![part] }),
        }
    }
    batches
}

fn split(mut unit: Unit<'_>, max_tokens: usize) -> Vec<Unit<'_>> {
    if unit.n_tokens() <= max_tokens {
        return vec![unit];
    }
    unit.sequences.sort_by_key(|sequence| Reverse(sequence.token_ids.len()));
    let mut parts: Vec<Unit<'_>> = Vec::new();
    for sequence in unit.sequences {
        let n = sequence.token_ids.len();
        match parts.iter_mut().find(|part| part.n_tokens() + n <= max_tokens) {
            Some(part) => part.sequences.push(sequence),
            None => parts.push(Unit { prompt: unit.prompt, sequences: vec![sequence] }),
        }
    }
    parts
}

impl<'a> MicroBatch<'a> {
    /// The questions, each once.
    pub(crate) fn prompts(&self) -> impl Iterator<Item = &'a EncodedPrompt> {
        self.units.iter().map(|unit| unit.prompt)
    }

    /// Whether this very prompt is one of them.
    pub(crate) fn asks(&self, prompt: &EncodedPrompt) -> bool {
        self.prompts().any(|own| std::ptr::eq(own, prompt))
    }

    /// Calls `forward` with the groups as the policy takes them.
    pub(crate) fn with_packed<T>(&self, forward: impl FnOnce(&[PackedGroup<'_>]) -> T) -> T {
        let tokens: Vec<_> = self.units.iter().map(Unit::completions).collect();
        let units = self.units.iter().zip(&tokens);
        let packed =
            units.map(|(unit, completions)| PackedGroup { prompt: unit.prompt, completions });
        forward(&packed.collect::<Vec<_>>())
    }

    /// Tokens of the pass.
    pub(crate) fn n_tokens(&self) -> usize {
        self.units.iter().map(Unit::n_tokens).sum()
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

    /// (N,): what the policy before the step thought of each completion token.
    pub(crate) fn old_logprobs(&self, device: &Device) -> Result<Tensor> {
        self.per_token(device, |sequence| sequence.old_logprobs.to_vec())
    }

    /// (N,): what the sampler thought of each completion token.
    pub(crate) fn sampler_logprobs(&self, device: &Device) -> Result<Tensor> {
        self.per_token(device, |sequence| sequence.sampler_logprobs.to_vec())
    }

    /// (N,): what the reference policy thinks of each completion token, if that is known already.
    pub(crate) fn ref_logprobs(&self, device: &Device) -> Result<Option<Tensor>> {
        let known = self.per_token(device, |sequence| sequence.ref_logprobs.to_vec())?;
        Ok((known.dims1()? == self.n_completion_tokens()).then_some(known))
    }

    /// Tokens of each completion.
    pub(crate) fn lengths(&self) -> Vec<usize> {
        self.sequences().map(|sequence| sequence.token_ids.len()).collect()
    }

    /// (N,): the advantage of each completion, at each of its tokens.
    pub(crate) fn advantages(&self, device: &Device) -> Result<Tensor> {
        self.per_token(device, |sequence| vec![sequence.advantage; sequence.token_ids.len()])
    }

    /// (N,): how much each completion token counts in the step.
    pub(crate) fn token_weights(&self, device: &Device) -> Result<Tensor> {
        self.per_token(device, |sequence| sequence.weights.to_vec())
    }

    fn sequences(&self) -> impl Iterator<Item = &Sequence<'_>> {
        self.units.iter().flat_map(|unit| &unit.sequences)
    }

    fn per_token(
        &self,
        device: &Device,
        values: impl Fn(&Sequence<'_>) -> Vec<f32>,
    ) -> Result<Tensor> {
        Tensor::new(self.sequences().flat_map(values).collect::<Vec<_>>(), device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vrft_objective::config::LossConfig;

    use crate::plan::Plan;
    use crate::{TrainCompletion, TrainGroup};

    /// Groups of 10 prompt tokens, with completions of these lengths.
    fn groups(lengths: &[&[usize]]) -> Vec<TrainGroup> {
        let completion = |&length: &usize| TrainCompletion {
            token_ids: vec![1; length],
            old_logprobs: vec![-1.0; length],
            advantage: 1.0,
            truncated: false,
            is_scored: true,
        };
        let group = |(id, lengths): (usize, &&[usize])| TrainGroup {
            prompt_id: id as u64,
            prompt: EncodedPrompt {
                token_ids: vec![2; 10],
                positions: vec![[0; 3]; 10],
                images: vec![],
            },
            completions: lengths.iter().map(completion).collect(),
        };
        lengths.iter().enumerate().map(group).collect()
    }

    /// Completion lengths by micro-batch and unit.
    #[track_caller]
    fn check(lengths: &[&[usize]], max_tokens: usize, expect: &[&[&[usize]]]) {
        let groups = groups(lengths);
        let lengths: Vec<usize> = lengths.iter().copied().flatten().copied().collect();
        let weights = vrft_objective::token_weights(&lengths);
        let plan = Plan::new(&groups, LossConfig::default());
        let batches = micro_batches(plan.units(), max_tokens);
        let got: Vec<Vec<Vec<usize>>> = batches
            .iter()
            .map(|batch| {
                let lengths = |unit: &Unit<'_>| {
                    unit.sequences.iter().map(|s| s.token_ids.len()).collect::<Vec<_>>()
                };
                batch.units.iter().map(lengths).collect()
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
}
