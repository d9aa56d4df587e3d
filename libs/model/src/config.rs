//! Widths, depths and special tokens of the model, from `config.json`.
//!
//! Both spellings are read: the flat one of the published checkpoints (text keys at the top, `rope_theta`,
//! `rope_scaling`) and the nested one that transformers writes today (`text_config`, `rope_parameters`).

use vrft_checkpoint::{JsonFile, Keys};

use crate::PolicyError;

mod text;
mod vision;

pub use text::TextConfig;
pub use vision::{TowerKind, VisionConfig};

/// The families whose checkpoints load, by their `model_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    /// [Qwen2-VL](https://arxiv.org/abs/2409.12191).
    Qwen2Vl,
    /// [Qwen2.5-VL](https://arxiv.org/abs/2502.13923).
    Qwen25Vl,
}

/// Shape of the whole model.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// Which family it belongs to.
    pub architecture: Architecture,
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

impl ModelConfig {
    /// Reads the text of a `config.json`.
    ///
    /// # Errors
    /// Not JSON, another kind of model, a key that is absent or has an unsupported value.
    pub fn from_json(text: &str) -> Result<Self, PolicyError> {
        Self::from_file(&JsonFile::parse("config.json", text)?)
    }

    /// Reads a `config.json`.
    ///
    /// # Errors
    /// As [`ModelConfig::from_json`].
    pub fn from_file(file: &JsonFile) -> Result<Self, PolicyError> {
        let root = file.keys();
        let architecture = match root.one_of("model_type", &["qwen2_vl", "qwen2_5_vl"])? {
            Some("qwen2_vl") => Architecture::Qwen2Vl,
            Some(_) => Architecture::Qwen25Vl,
            None => {
                return Err(root.error("model_type", "qwen2_vl or qwen2_5_vl", "nothing").into());
            }
        };
        let token =
            |key: &str, default: u32| Ok::<_, PolicyError>(root.token_id(key)?.unwrap_or(default));
        let config = Self {
            architecture,
            text: TextConfig::read(&root)?,
            vision: VisionConfig::read(&root.section("vision_config"), architecture)?,
            image_token_id: token("image_token_id", 151_655)?,
            video_token_id: token("video_token_id", 151_656)?,
            vision_start_token_id: token("vision_start_token_id", 151_652)?,
            vision_end_token_id: token("vision_end_token_id", 151_653)?,
        };
        let (out_dim, hidden_size) = (config.vision.out_dim, config.text.hidden_size);
        let key = match architecture {
            Architecture::Qwen2Vl => "vision_config.hidden_size",
            Architecture::Qwen25Vl => "vision_config.out_hidden_size",
        };
        let expected = format!("the text model's {hidden_size}");
        root.ensure(out_dim == hidden_size, key, expected, out_dim)?;
        Ok(config)
    }
}

/// The most layers that a part may have: far more than any published model has.
const MAX_LAYERS: usize = 1024;

/// A count of layers.
fn layers(keys: &Keys, key: &str, default: Option<usize>) -> Result<usize, PolicyError> {
    let n = match default {
        Some(default) => keys.size(key)?.unwrap_or(default),
        None => keys.required_size(key)?,
    };
    keys.ensure(n <= MAX_LAYERS, key, format!("at most {MAX_LAYERS}"), n)?;
    Ok(n)
}

/// An error unless the one divides the other.
fn divides(
    keys: &Keys,
    small_key: &str,
    small: usize,
    large_key: &str,
    large: usize,
) -> Result<(), PolicyError> {
    let fits = large > 0 && large.is_multiple_of(small);
    Ok(keys.ensure(fits, large_key, format!("a multiple of {small_key}"), large)?)
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
        let expected = "model_type should be qwen2_vl or qwen2_5_vl, got \"llama\"";
        check_error("qwen2_vl", "llama", expected)
    }

    #[test]
    fn the_tower_of_qwen2_5_has_windows() {
        let vision = r#""vision_config": {"hidden_size": 1280, "intermediate_size": 3420, "out_hidden_size": 1536,
            "hidden_act": "silu", "window_size": 112, "fullatt_block_indexes": [7, 15], "in_chans": 3}}"#;
        let (text, _) = FLAT.split_once("\"vision_config\"").unwrap();
        let json = format!("{text}{vision}").replace("qwen2_vl", "qwen2_5_vl");
        let config = ModelConfig::from_json(&json).unwrap().vision;
        assert_eq!((config.embed_dim, config.mlp_dim, config.out_dim), (1280, 3420, 1536));
        let windows = TowerKind::Windowed { window: 4, full_attention: vec![7, 15] };
        assert_eq!(config.kind, windows);
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
    fn a_size_that_no_model_has_is_refused() {
        check_error(
            "\"num_hidden_layers\": 28",
            "\"num_hidden_layers\": 1000000000",
            "num_hidden_layers should be at most 16777216, got 1000000000",
        );
        check_error(
            "\"num_hidden_layers\": 28",
            "\"num_hidden_layers\": 1000000",
            "num_hidden_layers should be at most 1024, got 1000000",
        );
        check_error(
            "\"depth\": 32",
            "\"depth\": 1152921504606846976",
            "vision_config.depth should be at most 16777216, got 1152921504606846976",
        );
        check_error(
            "\"spatial_merge_size\": 2",
            "\"spatial_merge_size\": 4294967296",
            "vision_config.spatial_merge_size should be at most 16777216, got 4294967296",
        );
        check_error(
            "\"mlp_ratio\": 4",
            "\"mlp_ratio\": 1e300",
            "vision_config.mlp_ratio should be a number above 0 and at most 64, got 1e300",
        );
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
