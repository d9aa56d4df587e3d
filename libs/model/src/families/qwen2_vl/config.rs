//! The shapes of tower and decoder, from `config.json`.
//!
//! Both spellings are read: the flat one of the published checkpoints (text keys at the top, `rope_theta`,
//! `rope_scaling`) and the nested one that transformers writes today (`text_config`, `rope_parameters`).

use std::sync::Arc;

use candle_core::DType;
use serde_json::Value;
use vrft_checkpoint::Keys;

use super::block::Kind;
use crate::config::{divides, layers, padding_id};
use crate::families::Family;
use crate::tower::{PatchShape, TowerConfig};
use crate::{ModelConfig, ModelError, TextConfig};

/// The most pixels that a side of a patch may have, and the most patches along a side of what becomes one token.
const MAX_SIDE: usize = 1024;
/// The widest that the inside of an MLP may be, as a multiple of its outside.
const MAX_MLP_RATIO: f64 = 64.0;

/// The whole model: its text part, its placeholders and this tower, whose output has the width that a key gives.
pub(in crate::families) fn read_model(
    family: &'static dyn Family,
    root: &Keys,
    (out_key, out_dim): (&str, usize),
    tower: Arc<dyn TowerConfig>,
) -> Result<ModelConfig, ModelError> {
    let text = read_text(root)?;
    let expected = format!("the text model's {}", text.hidden_size);
    root.section("vision_config").ensure(
        out_dim == text.hidden_size,
        out_key,
        expected,
        out_dim,
    )?;
    let image_id = root.token_id("image_token_id")?.unwrap_or(151_655);
    let video_id = root.token_id("video_token_id")?.unwrap_or(151_656);
    Ok(ModelConfig::new(family, text, tower, vec![image_id, video_id]))
}

fn read_text(root: &Keys) -> Result<TextConfig, ModelError> {
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
    let hidden_size = text.required_size("hidden_size")?;
    let n_heads = text.required_size("num_attention_heads")?;
    let n_kv_heads = text.size("num_key_value_heads")?.unwrap_or(n_heads);
    divides(&text, "num_attention_heads", n_heads, "hidden_size", hidden_size)?;
    divides(&text, "num_key_value_heads", n_kv_heads, "num_attention_heads", n_heads)?;
    let head_dim = hidden_size / n_heads;
    Ok(TextConfig {
        hidden_size,
        intermediate_size: text.required_size("intermediate_size")?,
        n_layers: layers(&text, "num_hidden_layers", None)?,
        n_heads,
        n_kv_heads,
        head_dim,
        qkv_bias: true,
        o_bias: false,
        mlp_bias: false,
        qk_norm: false,
        vocab_size: text.required_size("vocab_size")?,
        rms_norm_eps: text.positive("rms_norm_eps")?.unwrap_or(1e-5),
        rope_theta: rope.positive("rope_theta")?.unwrap_or(1e6),
        rope_stretch: None,
        rotary_axes: rotary_axes(&rope, head_dim)?,
        tie_word_embeddings: tie.and_then(Value::as_bool).unwrap_or(false),
        max_position_embeddings: text.size("max_position_embeddings")?.unwrap_or(32_768),
        padding_id: padding_id(&text),
    })
}

/// M-RoPE: the frequencies of a head follow time, height and width in contiguous sections
/// ([Qwen2-VL](https://arxiv.org/abs/2409.12191), section 2.1).
fn rotary_axes(rope: &Keys, head_dim: usize) -> Result<Vec<usize>, ModelError> {
    let sections = rope.counts("mrope_section")?;
    let got = rope.get("mrope_section").map_or_else(|| "nothing".to_owned(), Value::to_string);
    let three = sections.and_then(|counts| <[usize; 3]>::try_from(counts).ok());
    let three = three.ok_or_else(|| rope.error("mrope_section", "three counts", got))?;
    let sum = three.iter().try_fold(0_usize, |sum, n| sum.checked_add(*n));
    let fits = head_dim.is_multiple_of(2) && sum == Some(head_dim / 2);
    let expected = format!("three counts that sum to half of the head's {head_dim}");
    rope.ensure(fits, "mrope_section", expected, format!("{three:?}"))?;
    Ok((0..3).flat_map(|axis| std::iter::repeat_n(axis, three[axis])).collect())
}

/// Width inside the tower's MLPs, as a multiple of that outside.
pub(super) fn mlp_dim(vision: &Keys, embed_dim: usize) -> Result<usize, ModelError> {
    let ratio = vision.number("mlp_ratio")?.unwrap_or(4.0);
    let fits = ratio > 0.0 && ratio <= MAX_MLP_RATIO;
    let expected = format!("a number above 0 and at most {MAX_MLP_RATIO}");
    vision.ensure(fits, "mlp_ratio", expected, format!("{ratio:?}"))?;
    Ok((embed_dim as f64 * ratio) as usize)
}

/// Shape of the vision tower.
#[derive(Debug, Clone)]
pub(in crate::families) struct TowerShape {
    /// What its blocks are made of.
    pub(in crate::families) kind: Kind,
    /// Width of the tower's residual stream.
    pub(in crate::families) embed_dim: usize,
    /// Number of blocks of the tower.
    pub(in crate::families) depth: usize,
    /// Attention heads of each block.
    pub(in crate::families) n_heads: usize,
    /// Width inside the MLP.
    pub(in crate::families) mlp_dim: usize,
    /// Width of the merged output: the language model's `hidden_size`.
    pub(in crate::families) out_dim: usize,
    /// Color channels of an image.
    pub(in crate::families) in_channels: usize,
    /// Side of a patch in pixels.
    pub(in crate::families) patch_size: usize,
    /// Frames per patch; a still image is repeated.
    pub(in crate::families) temporal_patch_size: usize,
    /// `merge_size`² patches become one token.
    pub(in crate::families) merge_size: usize,
    /// Base of the rotary frequencies.
    pub(in crate::families) rope_theta: f64,
}

impl TowerShape {
    /// Reads the section `vision_config`; the widths of the residual stream, of the MLP's inside and of the output have
    /// other keys in each family.
    pub(in crate::families) fn read(
        vision: &Keys,
        kind: Kind,
        [embed_dim, mlp_dim, out_dim]: [usize; 3],
    ) -> Result<Self, ModelError> {
        let side = |key: &str, default: usize| {
            let n = vision.size(key)?.unwrap_or(default);
            vision.ensure(n <= MAX_SIDE, key, format!("at most {MAX_SIDE}"), n)?;
            Ok::<_, ModelError>(n)
        };
        let rope = vision.section("rope_parameters").or(vision);
        let shape = Self {
            kind,
            embed_dim,
            depth: layers(vision, "depth", Some(32))?,
            n_heads: vision.size("num_heads")?.unwrap_or(16),
            mlp_dim,
            out_dim,
            in_channels: side("in_channels", side("in_chans", 3)?)?,
            patch_size: side("patch_size", 14)?,
            temporal_patch_size: side("temporal_patch_size", 2)?,
            merge_size: side("spatial_merge_size", 2)?,
            rope_theta: rope.positive("rope_theta")?.unwrap_or(1e4),
        };
        divides(vision, "num_heads", shape.n_heads, "width", embed_dim)?;
        divides(vision, "4", 4, "width of a head", shape.head_dim())?;
        Ok(shape)
    }

    /// Width of an attention head.
    pub(super) fn head_dim(&self) -> usize {
        self.embed_dim / self.n_heads
    }

    /// What patches are like.
    pub(in crate::families) fn patches(&self) -> PatchShape {
        PatchShape { dim: self.patch_dim(), merge_size: self.merge_size }
    }

    /// Values of one patch.
    pub(super) fn patch_dim(&self) -> usize {
        self.in_channels * self.temporal_patch_size * self.patch_size * self.patch_size
    }

    /// Width of the patches that become one token, side by side.
    pub(super) fn merged_dim(&self) -> usize {
        self.embed_dim * self.merge_size * self.merge_size
    }

    /// Bytes that one block keeps for its backward pass.
    pub(in crate::families) fn block_activation_bytes(
        &self,
        n_patches: usize,
        dtype: DType,
    ) -> usize {
        n_patches * (11 * self.embed_dim + 2 * self.mlp_dim) * dtype.size_in_bytes()
    }

    /// Bytes that the rest keeps for its backward pass, pixels included.
    pub(in crate::families) fn end_activation_bytes(
        &self,
        n_patches: usize,
        dtype: DType,
    ) -> usize {
        n_patches * (self.patch_dim() + 6 * self.embed_dim) * dtype.size_in_bytes()
    }
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
        let nested = ModelConfig::from_json(NESTED).unwrap();
        assert_eq!(format!("{flat:?}"), format!("{nested:?}"));
        assert_eq!((flat.text.head_dim, flat.text.kv_width()), (128, 256));
        assert_eq!(flat.placeholder_ids, [151_655, 151_656]);
    }

    #[test]
    fn another_model_is_refused_by_name() {
        let expected = "model_type should be qwen2_vl or qwen2_5_vl or qwen3_vl or smolvlm or idefics3, got \"llama\"";
        check_error("qwen2_vl", "llama", expected)
    }

    #[test]
    fn the_tower_of_qwen2_5_has_windows() {
        let vision = r#""vision_config": {"hidden_size": 1280, "intermediate_size": 3420, "out_hidden_size": 1536,
            "hidden_act": "silu", "window_size": 112, "fullatt_block_indexes": [7, 15], "in_chans": 3}}"#;
        let (text, _) = FLAT.split_once("\"vision_config\"").unwrap();
        let json = format!("{text}{vision}").replace("qwen2_vl", "qwen2_5_vl");
        let tower = format!("{:?}", ModelConfig::from_json(&json).unwrap().tower);
        for part in ["embed_dim: 1280", "mlp_dim: 3420", "window: 4, full_attention: [7, 15]"] {
            assert!(tower.contains(part), "{tower}");
        }
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
