//! Widths, depths and special tokens of the model, from `config.json`.
//!
//! Both spellings are read: the flat one of the published checkpoints (text keys at the top, `rope_theta`,
//! `rope_scaling`) and the nested one that transformers writes today (`text_config`, `rope_parameters`).

use serde_json::Value;

use crate::PolicyError;

/// Shape of the whole model.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// The language model.
    pub text: TextConfig,
    /// The vision tower.
    pub vision: VisionConfig,
    /// Token that stands for one merged patch of an image.
    pub image_token_id: u32,
    /// Token that stands for one merged patch of a video.
    pub video_token_id: u32,
    /// Token before an image.
    pub vision_start_token_id: u32,
    /// Token after an image.
    pub vision_end_token_id: u32,
}

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

/// Shape of the vision tower.
#[derive(Debug, Clone, PartialEq)]
pub struct VisionConfig {
    /// Width of the tower's residual stream.
    pub embed_dim: usize,
    /// Blocks.
    pub depth: usize,
    /// Attention heads.
    pub n_heads: usize,
    /// Width inside the MLP.
    pub mlp_dim: usize,
    /// Width of the merged output: the language model's `hidden_size`.
    pub out_dim: usize,
    /// Color channels.
    pub in_channels: usize,
    /// Side of a patch in pixels.
    pub patch_size: usize,
    /// Frames per patch; a still image is repeated.
    pub temporal_patch_size: usize,
    /// `merge_size`² patches become one token.
    pub merge_size: usize,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
}

impl ModelConfig {
    /// Reads the text of a `config.json`.
    ///
    /// # Errors
    /// Not JSON, another kind of model, a key that is absent or has an unsupported value.
    pub fn from_json(text: &str) -> Result<Self, PolicyError> {
        let root: Value = serde_json::from_str(text)
            .map_err(|e| config_error("the file", "JSON", &e.to_string()))?;
        let root = Section { path: String::new(), values: vec![&root] };
        root.one_of("model_type", &["qwen2_vl"], None)?;
        let config = Self {
            text: TextConfig::from_section(&root)?,
            vision: VisionConfig::from_section(&root.child("vision_config"))?,
            image_token_id: root.token("image_token_id", 151_655)?,
            video_token_id: root.token("video_token_id", 151_656)?,
            vision_start_token_id: root.token("vision_start_token_id", 151_652)?,
            vision_end_token_id: root.token("vision_end_token_id", 151_653)?,
        };
        let (out_dim, hidden_size) = (config.vision.out_dim, config.text.hidden_size);
        if out_dim != hidden_size {
            let expected = format!("the text model's {hidden_size}");
            return Err(config_error("vision_config.hidden_size", &expected, &out_dim.to_string()));
        }
        Ok(config)
    }
}

impl TextConfig {
    /// Width of an attention head.
    pub fn head_dim(&self) -> usize {
        self.hidden_size / self.n_heads
    }

    fn from_section(root: &Section) -> Result<Self, PolicyError> {
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

impl VisionConfig {
    /// Width of an attention head.
    pub fn head_dim(&self) -> usize {
        self.embed_dim / self.n_heads
    }

    /// Values of one patch.
    pub fn patch_dim(&self) -> usize {
        self.in_channels * self.temporal_patch_size * self.patch_size * self.patch_size
    }

    /// Patches that become one token.
    pub fn patches_per_token(&self) -> usize {
        self.merge_size * self.merge_size
    }

    fn from_section(vision: &Section) -> Result<Self, PolicyError> {
        vision.one_of("hidden_act", &["quick_gelu"], Some("quick_gelu"))?;
        let embed_dim = vision.size("embed_dim", Some(1280))?;
        let rope = vision.child("rope_parameters").or(vision);
        let config = Self {
            embed_dim,
            depth: vision.size("depth", Some(32))?,
            n_heads: vision.size("num_heads", Some(16))?,
            mlp_dim: (embed_dim as f64 * vision.number("mlp_ratio", 4.0)?) as usize,
            out_dim: vision.size("hidden_size", Some(3584))?,
            in_channels: vision.size("in_channels", Some(vision.size("in_chans", Some(3))?))?,
            patch_size: vision.size("patch_size", Some(14))?,
            temporal_patch_size: vision.size("temporal_patch_size", Some(2))?,
            merge_size: vision.size("spatial_merge_size", Some(2))?,
            rope_theta: rope.number("rope_theta", 1e4)?,
        };
        divides("vision_config.num_heads", config.n_heads, "embed_dim", embed_dim)?;
        divides("4", 4, "the width of a vision head", config.head_dim())?;
        Ok(config)
    }
}

/// Places to look for a key, the first that has it wins.
struct Section<'a> {
    path: String,
    values: Vec<&'a Value>,
}

impl<'a> Section<'a> {
    fn get(&self, key: &str) -> Option<&'a Value> {
        self.values.iter().find_map(|value| value.get(key)).filter(|value| !value.is_null())
    }

    /// The nested section of that name; empty if it is absent.
    fn child(&self, key: &str) -> Section<'a> {
        let path = format!("{}{key}.", self.path);
        Section { path, values: self.get(key).into_iter().collect() }
    }

    /// This section, then the other.
    fn or(&self, other: &Section<'a>) -> Section<'a> {
        let path = if self.values.is_empty() { &other.path } else { &self.path };
        let values = self.values.iter().chain(&other.values).copied().collect();
        Section { path: path.clone(), values }
    }

    /// A key may be in several places: name it alone.
    fn without_path(mut self) -> Section<'a> {
        self.path.clear();
        self
    }

    fn error(&self, key: &str, expected: &str, got: Option<&Value>) -> PolicyError {
        let got = got.map_or_else(|| "nothing".to_owned(), Value::to_string);
        config_error(&format!("{}{key}", self.path), expected, &got)
    }

    fn size(&self, key: &str, default: Option<usize>) -> Result<usize, PolicyError> {
        let value = self.get(key);
        let size = value.map(|value| value.as_u64().filter(|n| *n > 0).map(|n| n as usize));
        size.unwrap_or(default).ok_or_else(|| self.error(key, "a positive integer", value))
    }

    fn token(&self, key: &str, default: u32) -> Result<u32, PolicyError> {
        let value = self.get(key);
        let id = value.map(|value| value.as_u64().and_then(|id| u32::try_from(id).ok()));
        id.unwrap_or(Some(default)).ok_or_else(|| self.error(key, "a token id", value))
    }

    fn number(&self, key: &str, default: f64) -> Result<f64, PolicyError> {
        let value = self.get(key);
        let number = value.map_or(Some(default), Value::as_f64);
        number
            .filter(|number| number.is_finite() && *number > 0.0)
            .ok_or_else(|| self.error(key, "a positive number", value))
    }

    fn triple(&self, key: &str) -> Result<[usize; 3], PolicyError> {
        let value = self.get(key);
        let counts = value.and_then(Value::as_array).and_then(|list| {
            list.iter().map(|n| n.as_u64().map(|n| n as usize)).collect::<Option<Vec<_>>>()
        });
        counts
            .and_then(|counts| counts.try_into().ok())
            .ok_or_else(|| self.error(key, "three counts", value))
    }

    fn one_of(
        &self,
        key: &str,
        allowed: &[&str],
        default: Option<&str>,
    ) -> Result<(), PolicyError> {
        let value = self.get(key);
        let name = value.map_or(default, Value::as_str);
        match name.is_some_and(|name| allowed.contains(&name)) {
            true => Ok(()),
            false => Err(self.error(key, &allowed.join(" or "), value)),
        }
    }
}

fn divides(
    small_key: &str,
    small: usize,
    large_key: &str,
    large: usize,
) -> Result<(), PolicyError> {
    match large.is_multiple_of(small) && large > 0 {
        true => Ok(()),
        false => {
            Err(config_error(large_key, &format!("a multiple of {small_key}"), &large.to_string()))
        }
    }
}

fn config_error(key: &str, expected: &str, got: &str) -> PolicyError {
    PolicyError::Config { key: key.into(), expected: expected.into(), got: got.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLAT: &str = r#"{
        "model_type": "qwen2_vl", "hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 28,
        "num_attention_heads": 12, "num_key_value_heads": 2, "vocab_size": 151936, "rms_norm_eps": 1e-06,
        "rope_theta": 1000000.0, "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]},
        "tie_word_embeddings": true, "use_sliding_window": false, "sliding_window": 32768,
        "vision_config": {"depth": 32, "embed_dim": 1280, "mlp_ratio": 4, "num_heads": 16, "in_chans": 3,
                          "hidden_size": 1536, "patch_size": 14, "spatial_merge_size": 2}}"#;
    const NESTED: &str = r#"{
        "model_type": "qwen2_vl", "tie_word_embeddings": true,
        "text_config": {"model_type": "qwen2_vl_text", "hidden_size": 1536, "intermediate_size": 8960,
            "num_hidden_layers": 28, "num_attention_heads": 12, "num_key_value_heads": 2,
            "vocab_size": 151936, "rms_norm_eps": 1e-06,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]}},
        "vision_config": {"hidden_size": 1536, "in_channels": 3,
            "rope_parameters": {"rope_theta": 10000.0, "rope_type": "axial"}}}"#;

    #[track_caller]
    fn check_error(from: &str, to: &str, expected: &str) {
        let error = ModelConfig::from_json(&FLAT.replace(from, to)).unwrap_err();
        assert_eq!(error.to_string(), format!("config.json: {expected}"));
    }

    #[test]
    fn both_spellings_read_the_same() {
        let flat = ModelConfig::from_json(FLAT).unwrap();
        assert_eq!(flat, ModelConfig::from_json(NESTED).unwrap());
        assert_eq!((flat.text.head_dim(), flat.vision.patch_dim()), (128, 1176));
        assert_eq!(flat.image_token_id, 151_655);
    }

    #[test]
    fn another_model_is_refused_by_name() {
        check_error("qwen2_vl", "llama", "model_type should be qwen2_vl, got \"llama\"")
    }

    #[test]
    fn an_absent_key_is_named() {
        check_error(
            "\"vocab_size\": 151936,",
            "",
            "vocab_size should be a positive integer, got nothing",
        )
    }

    #[test]
    fn sections_must_fill_half_a_head() {
        check_error(
            "[16, 24, 24]",
            "[16, 24, 23]",
            "mrope_section should be three counts that sum to half of the head's 128, got [16, 24, 23]",
        )
    }

    #[test]
    fn an_unsupported_rope_is_refused() {
        check_error(
            "\"type\": \"mrope\"",
            "\"type\": \"yarn\"",
            "type should be default or mrope, got \"yarn\"",
        )
    }
}
