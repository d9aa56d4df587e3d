//! The true answer as a completion, beside those that the policy sampled.

use vrft_processor::Processor;

use crate::{Completion, FinishReason, RolloutError};

/// The completion that says this text and ends its turn, as a perfect policy would: no policy sampled it, so it has no
/// logprobs and no seed.
///
/// # Errors
/// A text that the tokenizer cannot take.
pub fn shown(processor: &Processor, text: &str) -> Result<Completion, RolloutError> {
    let token_ids = processor.encode_completion(text)?;
    let text = processor.decode(&token_ids)?;
    let finish_reason = FinishReason::Shown;
    Ok(Completion {
        token_ids,
        logprobs: Vec::new(),
        text,
        finish_reason,
        seed: 0,
        replies: Vec::new(),
    })
}
