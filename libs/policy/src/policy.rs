//! The policy: weights, and the two ways to run them.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use candle_core::{DType, Device, Tensor, Var};

use crate::{EncodedPrompt, ModelConfig, PackedGroup, PolicyError, Session};

/// How to load a checkpoint.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// Type to compute in.
    pub dtype: DType,
    /// Where the weights live.
    pub device: Device,
    /// Whether the weights can be trained; if not, no graph is ever built.
    pub trainable: bool,
    /// Leave the vision tower untrained.
    pub freeze_vision: bool,
}

/// Logprobs of completion tokens, all completions of all groups one after the other.
#[derive(Debug, Clone)]
pub struct TokenLogprobs {
    /// (N,) f32, differentiable.
    pub logprobs: Tensor,
    /// (N,) f32, entropy of the distribution at each of these tokens; no gradient.
    pub entropy: Tensor,
}

/// A Qwen2-VL with its weights.
#[derive(Debug)]
pub struct Policy {
    config: ModelConfig,
    variables: BTreeMap<String, Var>,
}

impl Policy {
    /// Loads a checkpoint directory in the Hugging Face layout.
    pub fn load(dir: &Path, _options: &LoadOptions) -> Result<Policy, PolicyError> {
        Err(PolicyError::input("checkpoint", "readable", dir.display()))
    }

    /// Widths, depths and special tokens.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The trainable weights by their name in the checkpoint.
    pub fn variables(&self) -> &BTreeMap<String, Var> {
        &self.variables
    }

    /// All weights by their name in the checkpoint, detached.
    pub fn tensors(&self) -> BTreeMap<String, Tensor> {
        BTreeMap::new()
    }

    /// Swaps in a new version of all weights; names and shapes must match.
    pub fn set_weights(&self, _tensors: &HashMap<String, Tensor>) -> Result<(), PolicyError> {
        Ok(())
    }

    /// Writes a checkpoint directory in the Hugging Face layout.
    pub fn save(&self, _dir: &Path) -> Result<(), PolicyError> {
        Ok(())
    }

    /// Logprob of each completion token under softmax(logits / temperature); differentiable.
    pub fn logprobs(
        &self,
        groups: &[PackedGroup],
        _temperature: f64,
    ) -> Result<TokenLogprobs, PolicyError> {
        Err(PolicyError::input("groups", "some", groups.len()))
    }

    /// Prefills each prompt once and opens a decoding session of `group_size` rows per prompt.
    pub fn start(
        &self,
        prompts: &[&EncodedPrompt],
        _group_size: usize,
    ) -> Result<Session, PolicyError> {
        Err(PolicyError::input("prompts", "some", prompts.len()))
    }
}
