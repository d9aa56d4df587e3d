//! Micro-batches: a step cut into pieces whose activations fit into memory.

use candle_core::{Device, Result, Tensor};
use policy::{EncodedPrompt, PackedGroup};

use crate::Demonstration;

/// One completion with what the loss needs to know about each of its tokens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sequence<'a> {
    pub(crate) token_ids: &'a [u32],
    /// Empty for a demonstration, which nobody sampled.
    pub(crate) old_logprobs: &'a [f32],
    /// As the sampler computed them; empty likewise.
    pub(crate) sampler_logprobs: &'a [f32],
    /// Empty where they are not known beforehand.
    pub(crate) ref_logprobs: &'a [f32],
    pub(crate) advantage: f32,
    /// See [`grpo::loss_weights`]; over the whole step, so that the losses of micro-batches add up.
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
    mut weights: &'a [f32],
) -> Vec<Unit<'a>> {
    let unit = |demonstration: &'a Demonstration| {
        let token_ids = &demonstration.token_ids[..];
        let weights = take(&mut weights, token_ids.len());
        let sequence = Sequence {
            token_ids,
            old_logprobs: &[],
            sampler_logprobs: &[],
            ref_logprobs: &[],
            advantage: 0.0,
            weights,
        };
        Unit { prompt: &demonstration.prompt, sequences: vec![sequence] }
    };
    demonstrations.iter().map(unit).collect()
}

fn take<'a>(weights: &mut &'a [f32], n: usize) -> &'a [f32] {
    let (head, tail) = weights.split_at(n);
    *weights = tail;
    head
}

/// Cuts a step into micro-batches of at most `max_tokens`, in order.
///
/// A unit stays whole where it can; one that is too large alone is split over its completions, each part with
/// the prompt again. A single completion is never cut, however long.
pub(crate) fn micro_batches(units: Vec<Unit<'_>>, max_tokens: usize) -> Vec<MicroBatch<'_>> {
    let mut batches: Vec<MicroBatch<'_>> = Vec::new();
    let mut n_tokens = 0;
    for unit in units.into_iter().flat_map(|unit| split(unit, max_tokens)) {
        n_tokens += unit.n_tokens();
        match batches.last_mut() {
            Some(batch) if n_tokens <= max_tokens => batch.units.push(unit),
            _ => {
                n_tokens = unit.n_tokens();
                batches.push(MicroBatch { units: vec![unit] });
            }
        }
    }
    batches
}

fn split(unit: Unit<'_>, max_tokens: usize) -> Vec<Unit<'_>> {
    let mut parts: Vec<Unit<'_>> = Vec::new();
    for sequence in unit.sequences {
        match parts.last_mut() {
            Some(part) if part.n_tokens() + sequence.token_ids.len() <= max_tokens => {
                part.sequences.push(sequence);
            }
            _ => parts.push(Unit { prompt: unit.prompt, sequences: vec![sequence] }),
        }
    }
    parts
}

impl MicroBatch<'_> {
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
    use config::LossConfig;

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
        let weights = grpo::token_weights(&lengths);
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
        let in_order: Vec<f32> = batches
            .iter()
            .flat_map(|b| b.token_weights(&Device::Cpu).unwrap().to_vec1::<f32>().unwrap())
            .collect();
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
    fn the_rest_of_a_split_group_shares_with_the_next() {
        check(&[&[5, 5, 5], &[2]], 27, &[&[&[5, 5, 5]], &[&[2]]]);
        check(&[&[9, 9, 2], &[1]], 28, &[&[&[9, 9]], &[&[2], &[1]]]);
    }

    #[test]
    fn a_completion_is_never_cut() {
        check(&[&[50, 1]], 20, &[&[&[50]], &[&[1]]]);
    }
}
