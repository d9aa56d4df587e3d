//! When a completion is over.

use vrft_processor::Processor;

use crate::{FinishReason, RolloutError, Sampling};

/// Tokens that a window holds beyond the longest stop text: special tokens decode to nothing, and the first
/// token may be cut off from the start of its character.
const SLACK: usize = 8;

/// What ends a completion.
pub(crate) struct StopRule<'a> {
    processor: &'a Processor,
    stop: Vec<String>,
    max_tokens: usize,
    /// Number of last tokens that hold any stop text which just ended, since a token has at least one byte.
    window: usize,
}

impl<'a> StopRule<'a> {
    /// `ends` are further texts that end a turn.
    pub(crate) fn new(processor: &'a Processor, sampling: &Sampling, ends: &[String]) -> Self {
        let stop = [&sampling.stop, ends].concat();
        let longest = stop.iter().map(String::len).max().unwrap_or(0);
        let max_tokens = sampling.max_tokens;
        Self { processor, stop, max_tokens, window: longest + SLACK }
    }

    /// Why a completion, or the turn of it that begins with token `first`, ends with the last of these tokens; `None` if it
    /// does not end.
    pub(crate) fn reason(
        &self,
        token_ids: &[u32],
        first: usize,
    ) -> Result<Option<FinishReason>, RolloutError> {
        let Some(last) = token_ids.last() else { return Ok(None) };
        if self.processor.end_ids().contains(last) {
            return Ok(Some(FinishReason::EndOfTurn));
        }
        if self.ends_with_stop(&token_ids[first..])? {
            return Ok(Some(FinishReason::Stop));
        }
        Ok((token_ids.len() >= self.max_tokens).then_some(FinishReason::Length))
    }

    fn ends_with_stop(&self, token_ids: &[u32]) -> Result<bool, RolloutError> {
        if self.stop.is_empty() {
            return Ok(false);
        }
        let window = &token_ids[token_ids.len().saturating_sub(self.window)..];
        let text = self.processor.decode(window)?;
        Ok(self.stop.iter().any(|stop| text.contains(stop)))
    }
}
