//! How completions are sampled.

use serde::{Deserialize, Serialize};

use crate::Device;

/// Group sampling.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RolloutConfig {
    /// Completions per prompt. At least 2: alone, a completion has no siblings to be better than.
    pub group_size: usize,
    /// Softmax temperature; logprobs are of the distribution that was sampled from.
    pub temperature: f64,
    /// Keep the smallest set of tokens whose probability reaches this; 1 keeps all.
    pub top_p: f64,
    /// Keep the most probable so many tokens; 0 keeps all.
    pub top_k: usize,
    /// A completion is cut here and counts as truncated.
    pub max_completion_tokens: usize,
    /// Texts that end a completion, besides the end-of-turn token.
    pub stop: Vec<String>,
    /// Completions decoded at once, as far as whole groups allow; as some finish, the next prompt joins. Bounds the
    /// memory of keys and values where a step has many prompts.
    pub max_rows: usize,
    /// Where the rollouts compute.
    pub device: Device,
}

impl Default for RolloutConfig {
    fn default() -> Self {
        Self {
            group_size: 8,
            temperature: 1.0,
            top_p: 1.0,
            top_k: 0,
            max_completion_tokens: 256,
            stop: vec!["</answer>".into()],
            max_rows: 128,
            device: Device::Cpu,
        }
    }
}
