//! Prompts and completions packed into one forward.

use crate::EncodedPrompt;

/// A prompt and the completions that were sampled from it.
#[derive(Debug, Clone, Copy)]
pub struct PackedGroup<'a> {
    /// The question; processed once, whatever the number of completions.
    pub prompt: &'a EncodedPrompt,
    /// Sampled token ids of each completion, its end token included.
    pub completions: &'a [&'a [u32]],
}
