//! Shape of the language model: the same block in Qwen2-VL and Qwen2.5-VL.

use serde_json::Value;

use super::section::{Section, config_error, divides};
use crate::PolicyError;

/// Shape of the language model.
#[derive(Debug, Clone, PartialEq)]
pub struct TextConfig {
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width inside the gated MLP.
    pub intermediate_size: usize,
    /// Decoder layers.
    pub n_layers: usize,
    /// Query heads.
    pub n_heads: usize,
    /// Key and value heads; divides `n_heads`.
    pub n_kv_heads: usize,
    /// Tokens in the vocabulary, rows of the embedding.
    pub vocab_size: usize,
    /// Added to the mean square in RMSNorm.
    pub rms_norm_eps: f64,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// How many rotary frequencies follow time, height and width; together half a head.
    pub mrope_section: [usize; 3],
    /// Whether the embedding is also the output head.
    pub tie_word_embeddings: bool,
    /// Longest sequence that the model was made for.
    pub max_position_embeddings: usize,
}

impl TextConfig {
    /// Width of an attention head.
    pub fn head_dim(&self) -> usize {
        self.hidden_size / self.n_heads
    }

    pub(super) fn from_section(root: &Section) -> Result<Self, PolicyError> {
        let text = root.child("text_config").or(root);
        let rope =
            text.child("rope_parameters").or(&text.child("rope_scaling")).or(&text).without_path();
        text.one_of("hidden_act", &["silu"], Some("silu"))?;
        rope.one_of("rope_type", &["default", "mrope"], Some("default"))?;
        rope.one_of("type", &["default", "mrope"], Some("default"))?;
        if text.get("use_sliding_window").and_then(Value::as_bool) == Some(true) {
            return Err(config_error("use_sliding_window", "false", "true"));
        }
        // The flag of the whole model counts, where an older text section carries one too.
        let tie = root.get("tie_word_embeddings").or(text.get("tie_word_embeddings"));
        let config = Self {
            hidden_size: text.size("hidden_size", None)?,
            intermediate_size: text.size("intermediate_size", None)?,
            n_layers: text.size("num_hidden_layers", None)?,
            n_heads: text.size("num_attention_heads", None)?,
            n_kv_heads: text
                .size("num_key_value_heads", text.size("num_attention_heads", None).ok())?,
            vocab_size: text.size("vocab_size", None)?,
            rms_norm_eps: text.number("rms_norm_eps", 1e-5)?,
            rope_theta: rope.number("rope_theta", 1e6)?,
            mrope_section: rope.triple("mrope_section")?,
            tie_word_embeddings: tie.and_then(Value::as_bool).unwrap_or(false),
            max_position_embeddings: text.size("max_position_embeddings", Some(32_768))?,
        };
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), PolicyError> {
        divides("num_attention_heads", self.n_heads, "hidden_size", self.hidden_size)?;
        divides("num_key_value_heads", self.n_kv_heads, "num_attention_heads", self.n_heads)?;
        let sum: usize = self.mrope_section.iter().sum();
        if sum * 2 != self.head_dim() {
            let expected =
                format!("three counts that sum to half of the head's {}", self.head_dim());
            return Err(config_error(
                "mrope_section",
                &expected,
                &format!("{:?}", self.mrope_section),
            ));
        }
        Ok(())
    }
}
