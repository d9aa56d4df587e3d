//! One completion while it grows.

use vrft_processor::Processor;

use crate::sampler::Sampler;
use crate::{Completion, FinishReason, RolloutError, Sampling};

/// A completion's place, its tokens so far, and its own random stream.
pub(crate) struct Row {
    pub(crate) prompt_idx: usize,
    pub(crate) completion_idx: usize,
    pub(crate) token_ids: Vec<u32>,
    logprobs: Vec<f32>,
    seed: u64,
    sampler: Sampler,
}

impl Row {
    pub(crate) fn new(prompt_idx: usize, completion_idx: usize, seed: u64) -> Self {
        Self {
            prompt_idx,
            completion_idx,
            token_ids: Vec::new(),
            logprobs: Vec::new(),
            seed,
            sampler: Sampler::new(seed),
        }
    }

    /// Draws the next token from `logits`, (V,), without those of `end_ids` while the row is too short to end.
    pub(crate) fn draw(
        &mut self,
        logits: &[f32],
        end_ids: &[u32],
        sampling: &Sampling,
    ) -> Result<u32, RolloutError> {
        let may_end = self.token_ids.len() >= sampling.min_tokens;
        let forbidden = if may_end { &[] } else { end_ids };
        let drawn = self.sampler.draw(logits, forbidden, sampling);
        let drawn = drawn.ok_or(RolloutError::NotFinite {
            prompt_idx: self.prompt_idx,
            completion_idx: self.completion_idx,
            token_idx: self.token_ids.len(),
        })?;
        self.logprobs.push(drawn.logprob);
        self.token_ids.push(drawn.token);
        Ok(drawn.token)
    }

    pub(crate) fn finish(
        self,
        finish_reason: FinishReason,
        processor: &Processor,
    ) -> Result<Completion, RolloutError> {
        let text = processor.decode(&self.token_ids)?;
        let Self { token_ids, logprobs, seed, .. } = self;
        Ok(Completion { token_ids, logprobs, text, finish_reason, seed })
    }
}
