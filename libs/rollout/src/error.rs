//! What can go wrong while sampling.

/// Sampling settings that make no sense, or a policy that cannot be sampled from.
#[derive(Debug, thiserror::Error)]
pub enum RolloutError {
    /// A setting outside what it allows.
    #[error("{name} should be {expected}, got {got}")]
    Setting {
        /// The setting that is wrong.
        name: &'static str,
        /// What would be accepted.
        expected: &'static str,
        /// The value found.
        got: String,
    },
    /// Logits that are no distribution: the weights have diverged, or the number type overflowed.
    #[error(
        "logits of token {token_idx} of completion {completion_idx} of prompt {prompt_idx} should be finite, \
         got NaN or infinity: the policy has diverged"
    )]
    NotFinite {
        /// Which prompt, from 0.
        prompt_idx: usize,
        /// Which completion of it, from 0.
        completion_idx: usize,
        /// Which token of it, from 0.
        token_idx: usize,
    },
    /// A prompt that cannot be encoded.
    #[error("sample {sample_id:?} (prompt {prompt_id}): {source}")]
    Prompt {
        /// Row of the data set.
        sample_id: String,
        /// Position in the run.
        prompt_id: u64,
        /// What is wrong with it.
        source: Box<vrft_processor::ProcessorError>,
    },
    /// A tool that did not answer as a tool must.
    #[error("tool {tool:?}: {why}")]
    Tool {
        /// Name of the tool.
        tool: String,
        /// What it did instead.
        why: String,
    },
    /// The run ended while a tool was asked.
    #[error("the run ended while a tool was asked")]
    Over,
    /// The policy failed.
    #[error(transparent)]
    Policy(#[from] vrft_model::ModelError),
    /// Token ids that have no text.
    #[error(transparent)]
    Processor(#[from] vrft_processor::ProcessorError),
    /// A tensor operation failed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}
