//! One completion while it grows.

use vrft_processor::Processor;

use crate::sampler::Sampler;
use crate::{Completion, FinishReason, Reply, RolloutError, Sampling};

/// A completion's place, its tokens so far, and its own random stream.
pub(crate) struct Row {
    pub(crate) prompt_idx: usize,
    pub(crate) completion_idx: usize,
    pub(crate) token_ids: Vec<u32>,
    /// What others said so far.
    pub(crate) replies: Vec<Reply>,
    /// Tokens that the model read besides the row's own: those of the replies.
    pub(crate) n_inserted: usize,
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
            replies: Vec::new(),
            n_inserted: 0,
            logprobs: Vec::new(),
            seed,
            sampler: Sampler::new(seed),
        }
    }

    /// Number of own tokens before the turn that is under way.
    pub(crate) fn turn_start(&self) -> usize {
        self.replies.last().map_or(0, |reply| reply.after as usize)
    }

    /// Draws the next token from `logits`, (V,), without those of `end_ids` while the row is too short to end.
    pub(crate) fn draw(
        &mut self,
        logits: &[f32],
        end_ids: &[u32],
        sampling: &Sampling,
    ) -> Result<u32, RolloutError> {
        let forbidden = if self.may_end(sampling) { &[] } else { end_ids };
        let drawn = self.sampler.draw(logits, forbidden, sampling);
        self.push(drawn.map(|drawn| (drawn.token, drawn.logprob)))
    }

    /// Whether a token that ends the turn may be next.
    pub(crate) fn may_end(&self, sampling: &Sampling) -> bool {
        self.token_ids.len() >= sampling.min_tokens
    }

    /// What a sampler on the device draws the next token from.
    #[cfg(feature = "cuda")]
    pub(crate) fn place(&self) -> vrft_kernels::DrawRow {
        let position = self.token_ids.len() as u32;
        vrft_kernels::DrawRow { seed: self.seed, position }
    }

    /// Takes the token that was drawn, with its logprob; an error if the logits were no distribution.
    pub(crate) fn push(&mut self, drawn: Option<(u32, f32)>) -> Result<u32, RolloutError> {
        let (token, logprob) = drawn.ok_or(RolloutError::NotFinite {
            prompt_idx: self.prompt_idx,
            completion_idx: self.completion_idx,
            token_idx: self.token_ids.len(),
        })?;
        self.logprobs.push(logprob);
        self.token_ids.push(token);
        Ok(token)
    }

    pub(crate) fn finish(
        self,
        finish_reason: FinishReason,
        processor: &Processor,
    ) -> Result<Completion, RolloutError> {
        let text = processor.decode(&self.token_ids[self.turn_start()..])?;
        let Self { token_ids, logprobs, seed, replies, .. } = self;
        Ok(Completion { token_ids, logprobs, text, finish_reason, seed, replies })
    }
}
