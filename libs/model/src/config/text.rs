//! Shape of the language model.

use serde_json::Value;
use vrft_checkpoint::Keys;

use super::{divides, layers};
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

    pub(super) fn read(root: &Keys) -> Result<Self, PolicyError> {
        let text = root.section("text_config").or(root);
        let rope = text.section("rope_parameters").or(&text.section("rope_scaling")).or(&text);
        let rope = rope.without_prefix();
        text.one_of("hidden_act", &["silu"])?;
        rope.one_of("rope_type", &["default", "mrope"])?;
        rope.one_of("type", &["default", "mrope"])?;
        let sliding = text.flag("use_sliding_window")?.unwrap_or(false);
        text.ensure(!sliding, "use_sliding_window", "false", "true")?;
        // The flag of the whole model counts, where an older text section carries one too.
        let tie = root.get("tie_word_embeddings").or(text.get("tie_word_embeddings"));
        let n_heads = text.required_size("num_attention_heads")?;
        let sections = rope.counts("mrope_section")?;
        let three = sections.clone().and_then(|counts| <[usize; 3]>::try_from(counts).ok());
        let got = rope.get("mrope_section").map_or_else(|| "nothing".to_owned(), Value::to_string);
        let config = Self {
            hidden_size: text.required_size("hidden_size")?,
            intermediate_size: text.required_size("intermediate_size")?,
            n_layers: layers(&text, "num_hidden_layers", None)?,
            n_heads,
            n_kv_heads: text.size("num_key_value_heads")?.unwrap_or(n_heads),
            vocab_size: text.required_size("vocab_size")?,
            rms_norm_eps: text.positive("rms_norm_eps")?.unwrap_or(1e-5),
            rope_theta: rope.positive("rope_theta")?.unwrap_or(1e6),
            mrope_section: three.ok_or_else(|| rope.error("mrope_section", "three counts", got))?,
            tie_word_embeddings: tie.and_then(Value::as_bool).unwrap_or(false),
            max_position_embeddings: text.size("max_position_embeddings")?.unwrap_or(32_768),
        };
        config.check(&text, &rope)?;
        Ok(config)
    }

    fn check(&self, text: &Keys, rope: &Keys) -> Result<(), PolicyError> {
        divides(text, "num_attention_heads", self.n_heads, "hidden_size", self.hidden_size)?;
        divides(text, "num_key_value_heads", self.n_kv_heads, "num_attention_heads", self.n_heads)?;
        let half = self.head_dim() / 2;
        let sum = self.mrope_section.iter().try_fold(0_usize, |sum, n| sum.checked_add(*n));
        let fits = self.head_dim().is_multiple_of(2) && sum == Some(half);
        let expected = format!("three counts that sum to half of the head's {}", self.head_dim());
        let got = format!("{:?}", self.mrope_section);
        Ok(rope.ensure(fits, "mrope_section", expected, got)?)
    }
}
