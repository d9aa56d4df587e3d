//! One completion while it grows.

use candle_core::Tensor;
use candle_transformers::generation::LogitsProcessor;
use policy::Processor;

use crate::{Completion, FinishReason, RolloutError, Sampling};

/// A completion's place, its tokens so far, and its own random stream.
pub(crate) struct Row {
    pub(crate) prompt_idx: usize,
    pub(crate) completion_idx: usize,
    pub(crate) token_ids: Vec<u32>,
    logprobs: Vec<f32>,
    seed: u64,
    sampler: LogitsProcessor,
    temperature: f64,
}

impl Row {
    pub(crate) fn new(
        prompt_idx: usize,
        completion_idx: usize,
        sampling: &Sampling,
        seed: u64,
    ) -> Self {
        Self {
            prompt_idx,
            completion_idx,
            token_ids: Vec::new(),
            logprobs: Vec::new(),
            seed,
            sampler: LogitsProcessor::from_sampling(seed, sampling.candle()),
            temperature: sampling.logprob_temperature(),
        }
    }

    /// Draws the next token from `logits`, (V,) f32 on the CPU.
    pub(crate) fn draw(&mut self, logits: &Tensor) -> Result<u32, RolloutError> {
        let values = logits.to_vec1::<f32>()?;
        let normalizer = log_normalizer(&values, self.temperature);
        if !normalizer.is_finite() {
            return Err(RolloutError::NotFinite {
                prompt_idx: self.prompt_idx,
                completion_idx: self.completion_idx,
                token_idx: self.token_ids.len(),
            });
        }
        let token = self.sampler.sample(logits)?;
        let scaled = f64::from(values[token as usize]) / self.temperature;
        self.logprobs.push((scaled - normalizer) as f32);
        self.token_ids.push(token);
        Ok(token)
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

/// `ln Σ exp(logit / temperature)`; not finite if the logits are no distribution.
fn log_normalizer(logits: &[f32], temperature: f64) -> f64 {
    let largest = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let powers = logits.iter().map(|&logit| ((f64::from(logit) - largest) / temperature).exp());
    largest / temperature + powers.sum::<f64>().ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_logits_share_the_probability() {
        let normalizer = log_normalizer(&[2.0; 4], 0.5);
        assert!((4.0 - normalizer - 0.25f64.ln()).abs() < 1e-12);
    }

    #[test]
    fn an_excluded_token_changes_nothing() {
        let excluded = log_normalizer(&[1.0, f32::NEG_INFINITY], 1.0);
        assert_eq!(excluded, 1.0);
    }

    #[test]
    fn no_distribution_has_no_normalizer() {
        let inf = f32::INFINITY;
        for logits in [[1.0, f32::NAN], [f32::NAN, 1.0], [1.0, inf], [-inf, -inf]] {
            assert!(!log_normalizer(&logits, 1.0).is_finite(), "{logits:?}");
        }
    }
}
