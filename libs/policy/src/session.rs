//! A decoding session: every completion of every group as one batch over a key-value cache.

use candle_core::Tensor;

use crate::PolicyError;

/// Prompts that were prefilled and the completions that grow from them.
#[derive(Debug)]
pub struct Session {
    logits: Tensor,
}

impl Session {
    /// (rows, V) f32 for the next token; right after the start each group's rows are equal.
    pub fn logits(&self) -> &Tensor {
        &self.logits
    }

    /// Feeds one token per live row.
    pub fn step(&mut self, tokens: &[u32]) -> Result<(), PolicyError> {
        Err(PolicyError::input("tokens", "some", tokens.len()))
    }

    /// Keeps the rows whose flag is set.
    pub fn retain(&mut self, keep: &[bool]) -> Result<(), PolicyError> {
        Err(PolicyError::input("keep", "some", keep.len()))
    }
}
