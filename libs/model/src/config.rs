//! Widths, depths and special tokens of the model, from `config.json`.

use std::collections::BTreeMap;
use std::sync::Arc;

use vrft_checkpoint::{JsonFile, Keys, Quantization};

use crate::ModelError;
use crate::families::{Family, read_config};
use crate::names::Names;
use crate::tower::TowerConfig;

/// Shape of the whole model.
#[derive(Debug, Clone)]
pub struct ModelConfig {
    /// Which family it belongs to.
    pub(crate) family: &'static dyn Family,
    /// Widths, depths and options of the language model.
    pub text: TextConfig,
    /// Widths, depths and options of the vision tower.
    pub(crate) tower: Arc<dyn TowerConfig>,
    /// Tokens that stand for a part of an image or of a video.
    pub placeholder_ids: Vec<u32>,
    /// How the checkpoint's weights are stored.
    pub quantization: Quantization,
}

/// Shape of the language model: a decoder with gated MLPs and grouped queries.
#[derive(Debug, Clone, PartialEq)]
pub struct TextConfig {
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width inside the gated MLP.
    pub intermediate_size: usize,
    /// Number of decoder layers.
    pub n_layers: usize,
    /// Number of attention heads for queries.
    pub n_heads: usize,
    /// Key and value heads; divides `n_heads`.
    pub n_kv_heads: usize,
    /// Width of an attention head; all heads together may be wider or narrower than the residual stream.
    pub head_dim: usize,
    /// Whether the projections to queries, keys and values have biases.
    pub qkv_bias: bool,
    /// Whether the projection from what the heads attended to has a bias.
    pub o_bias: bool,
    /// Whether the layers of the MLPs have biases.
    pub mlp_bias: bool,
    /// Whether queries and keys are normalized, head by head, before they are rotated.
    pub qk_norm: bool,
    /// Tokens in the vocabulary, rows of the embedding.
    pub vocab_size: usize,
    /// Added to the mean square in RMSNorm.
    pub rms_norm_eps: f64,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// How these are stretched for longer texts than the model was first trained on.
    pub rope_stretch: Option<RopeStretch>,
    /// Which axis of a position (0 time, 1 height, 2 width) each of a head's `head_dim` / 2 rotary frequencies follows.
    pub rotary_axes: Vec<usize>,
    /// Whether the embedding is also the output head.
    pub tie_word_embeddings: bool,
    /// Longest sequence that the model was made for.
    pub max_position_embeddings: usize,
    /// The token that fills up batches elsewhere: nothing is learned about its embedding, wherever it stands. `None` where no
    /// token is set apart for that.
    pub padding_id: Option<u32>,
}

/// The token whose embedding is not learned, of the text part's keys.
pub(crate) fn padding_id(text: &Keys) -> Option<u32> {
    let id = text.get("pad_token_id")?.as_u64()?;
    u32::try_from(id).ok()
}

/// Slow rotary frequencies become slower, fast ones stay, and those between are mixed: `llama3` in transformers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RopeStretch {
    /// How many times slower the slowest become.
    pub factor: f64,
    /// Frequencies of fewer turns than this within the first context count as slow.
    pub slow_turns: f64,
    /// Frequencies of more turns than this count as fast.
    pub fast_turns: f64,
    /// Tokens of the context that the model was first trained on.
    pub first_context: usize,
}

impl RopeStretch {
    /// Reads the keys of `rope_scaling`.
    ///
    /// # Errors
    /// A key that is absent or out of its bounds.
    pub(crate) fn read(rope: &Keys) -> Result<Self, ModelError> {
        let number = |key: &str| {
            let missing = || rope.error(key, "a number above 0", "nothing");
            rope.positive(key)?.ok_or_else(missing)
        };
        let (slow_turns, fast_turns) = (number("low_freq_factor")?, number("high_freq_factor")?);
        let expected = format!("above low_freq_factor, {slow_turns}");
        rope.ensure(fast_turns > slow_turns, "high_freq_factor", expected, fast_turns)?;
        Ok(Self {
            factor: number("factor")?,
            slow_turns,
            fast_turns,
            first_context: rope.required_size("original_max_position_embeddings")?,
        })
    }

    /// The rotary frequency after stretching.
    pub(crate) fn apply(&self, frequency: f32) -> f32 {
        let context = self.first_context as f64;
        let length = (std::f64::consts::TAU as f32) / frequency;
        let slower = frequency / self.factor as f32;
        if length > (context / self.slow_turns) as f32 {
            return slower;
        }
        if length < (context / self.fast_turns) as f32 {
            return frequency;
        }
        let turns = context as f32 / length;
        let share = (turns - self.slow_turns as f32) / (self.fast_turns - self.slow_turns) as f32;
        (1.0 - share) * slower + share * frequency
    }
}

impl TextConfig {
    /// Width of all queries of a token.
    pub fn q_width(&self) -> usize {
        self.n_heads * self.head_dim
    }

    /// Width of all keys of a token, and of all values.
    pub fn kv_width(&self) -> usize {
        self.n_kv_heads * self.head_dim
    }
}

impl ModelConfig {
    /// Of a checkpoint whose weights are stored as numbers.
    pub(crate) fn new(
        family: &'static dyn Family,
        text: TextConfig,
        tower: Arc<dyn TowerConfig>,
        placeholder_ids: Vec<u32>,
    ) -> Self {
        Self { family, text, tower, placeholder_ids, quantization: Quantization::None }
    }

    /// Reads the text of a `config.json`.
    ///
    /// # Errors
    /// Not JSON, another kind of model, a key that is absent or has an unsupported value.
    pub fn from_json(text: &str) -> Result<Self, ModelError> {
        Self::from_file(&JsonFile::parse("config.json", text)?)
    }

    /// Reads a `config.json`.
    ///
    /// # Errors
    /// As [`ModelConfig::from_json`].
    pub fn from_file(file: &JsonFile) -> Result<Self, ModelError> {
        read_config(file)
    }
}

impl ModelConfig {
    /// The names of the parts in a checkpoint of these tensors.
    pub(crate) fn names<T>(&self, tensors: &BTreeMap<String, T>) -> Names {
        self.family.layouts().of(tensors)
    }
}

/// The most layers that a part may have: far more than any published model has.
const MAX_LAYERS: usize = 1024;

/// A count of layers.
pub(crate) fn layers(keys: &Keys, key: &str, default: Option<usize>) -> Result<usize, ModelError> {
    let n = match default {
        Some(default) => keys.size(key)?.unwrap_or(default),
        None => keys.required_size(key)?,
    };
    keys.ensure(n <= MAX_LAYERS, key, format!("at most {MAX_LAYERS}"), n)?;
    Ok(n)
}

/// An error unless the one divides the other.
pub(crate) fn divides(
    keys: &Keys,
    small_key: &str,
    small: usize,
    large_key: &str,
    large: usize,
) -> Result<(), ModelError> {
    let fits = large > 0 && large.is_multiple_of(small);
    Ok(keys.ensure(fits, large_key, format!("a multiple of {small_key}"), large)?)
}
