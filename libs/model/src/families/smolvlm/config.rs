//! The shapes of tower and decoder, from `config.json`; what is absent is as transformers assumes it.

use candle_core::DType;
use vrft_checkpoint::Keys;
use vrft_vision::Grid;

use super::tower::TileTower;
use crate::config::{divides, layers, padding_id};
use crate::scope::Scope;
use crate::tower::{PatchShape, Tower, TowerConfig};
use crate::vit::{BlockShape, Curve};
use crate::{ModelError, RopeStretch, TextConfig};

/// The most pixels that a side of a patch may have, and the most patches along a side of what becomes one token.
const MAX_SIDE: usize = 1024;

/// Reads the settings of the Llama decoder.
pub(super) fn read_text(root: &Keys) -> Result<TextConfig, ModelError> {
    let text = root.section("text_config");
    let rope = text.section("rope_parameters").or(&text.section("rope_scaling")).or(&text);
    text.one_of("model_type", &["llama"])?;
    text.one_of("hidden_act", &["silu"])?;
    let kind = rope.one_of("rope_type", &["default", "llama3"])?;
    let older = rope.one_of("type", &["default", "llama3"])?;
    let stretched = kind.or(older) == Some("llama3");
    let stretch = stretched.then(|| RopeStretch::read(&rope)).transpose()?;
    let hidden_size = text.size("hidden_size")?.unwrap_or(4096);
    let n_heads = text.size("num_attention_heads")?.unwrap_or(32);
    let n_kv_heads = text.size("num_key_value_heads")?.unwrap_or(n_heads);
    divides(&text, "num_key_value_heads", n_kv_heads, "num_attention_heads", n_heads)?;
    let head_dim = match text.size("head_dim")? {
        Some(head_dim) => head_dim,
        None => {
            divides(&text, "num_attention_heads", n_heads, "hidden_size", hidden_size)?;
            hidden_size / n_heads
        }
    };
    let even = head_dim.is_multiple_of(2);
    text.ensure(even, "head_dim", "even: its halves are rotated", head_dim)?;
    let attention_bias = text.flag("attention_bias")?.unwrap_or(false);
    Ok(TextConfig {
        hidden_size,
        intermediate_size: text.size("intermediate_size")?.unwrap_or(11_008),
        n_layers: layers(&text, "num_hidden_layers", Some(32))?,
        n_heads,
        n_kv_heads,
        head_dim,
        qkv_bias: attention_bias,
        o_bias: attention_bias,
        mlp_bias: text.flag("mlp_bias")?.unwrap_or(false),
        qk_norm: false,
        vocab_size: text.size("vocab_size")?.unwrap_or(32_000),
        rms_norm_eps: text.positive("rms_norm_eps")?.unwrap_or(1e-6),
        rope_theta: rope.positive("rope_theta")?.unwrap_or(1e4),
        rope_stretch: stretch,
        rotary_axes: vec![0; head_dim / 2],
        tie_word_embeddings: root.flag("tie_word_embeddings")?.unwrap_or(false),
        max_position_embeddings: text.size("max_position_embeddings")?.unwrap_or(2048),
        padding_id: padding_id(&text),
    })
}

/// Shape of the tower.
#[derive(Debug, Clone)]
pub(super) struct TowerShape {
    pub(super) block: BlockShape,
    pub(super) depth: usize,
    pub(super) n_channels: usize,
    /// Side of a patch in pixels.
    pub(super) patch_size: usize,
    /// Sides of the square of learned positions.
    pub(super) grid_side: usize,
    /// `merge_size`² patches become one token.
    pub(super) merge_size: usize,
    /// The language model's `hidden_size`.
    pub(super) out_dim: usize,
}

impl TowerShape {
    pub(super) fn read(root: &Keys, out_dim: usize) -> Result<Self, ModelError> {
        let vision = root.section("vision_config");
        let side = |keys: &Keys, key: &str, default: usize| {
            let n = keys.size(key)?.unwrap_or(default);
            keys.ensure(n <= MAX_SIDE, key, format!("at most {MAX_SIDE}"), n)?;
            Ok::<_, ModelError>(n)
        };
        let block = BlockShape {
            dim: vision.size("hidden_size")?.unwrap_or(1152),
            mlp_dim: vision.size("intermediate_size")?.unwrap_or(3072),
            n_heads: vision.size("num_attention_heads")?.unwrap_or(16),
            eps: vision.positive("layer_norm_eps")?.unwrap_or(1e-6),
            curve: Curve::read(&vision, "hidden_act")?,
        };
        block.check(&vision, "num_attention_heads")?;
        let patch_size = side(&vision, "patch_size", 32)?;
        let image_size = vision.size("image_size")?.unwrap_or(224);
        let grid_side = image_size / patch_size;
        let expected = format!("1 to {MAX_SIDE} patches of {patch_size} pixels");
        let fits = (1..=MAX_SIDE).contains(&grid_side);
        vision.ensure(fits, "image_size", expected, image_size)?;
        Ok(Self {
            block,
            depth: layers(&vision, "num_hidden_layers", Some(12))?,
            n_channels: side(&vision, "num_channels", 3)?,
            patch_size,
            grid_side,
            merge_size: side(root, "scale_factor", 2)?,
            out_dim,
        })
    }

    /// Values of one patch.
    pub(super) fn patch_dim(&self) -> usize {
        self.n_channels * self.patch_size * self.patch_size
    }

    /// Width of the patches that become one token, side by side.
    pub(super) fn merged_dim(&self) -> usize {
        self.block.dim * self.merge_size * self.merge_size
    }
}

impl TowerConfig for TowerShape {
    fn load(&self, parts: &[Scope]) -> Result<Box<dyn Tower>, ModelError> {
        Ok(Box::new(TileTower::load(&parts[0], &parts[1], self)?))
    }

    fn patches(&self) -> PatchShape {
        PatchShape { dim: self.patch_dim(), merge_size: self.merge_size }
    }

    fn depth(&self) -> usize {
        self.depth
    }

    fn width(&self) -> usize {
        self.block.dim
    }

    fn n_tokens(&self, grid: Grid) -> usize {
        grid.n_tokens(self.merge_size)
    }

    fn block_activation_bytes(&self, n_patches: usize, dtype: DType) -> usize {
        self.block.activation_bytes(n_patches, dtype)
    }

    fn end_activation_bytes(&self, n_patches: usize, dtype: DType) -> usize {
        n_patches * (self.patch_dim() + 4 * self.block.dim) * dtype.size_in_bytes()
    }
}

#[cfg(test)]
mod tests {
    use crate::ModelConfig;

    /// The keys that are published with the model of 2.2 billion parameters; the others are left to be assumed.
    const PUBLISHED: &str = r#"{
        "model_type": "smolvlm", "image_token_id": 49190, "scale_factor": 3, "tie_word_embeddings": false,
        "text_config": {"model_type": "llama", "hidden_size": 2048, "intermediate_size": 8192,
            "num_hidden_layers": 24, "vocab_size": 49280, "rope_theta": 130000, "rms_norm_eps": 1e-05,
            "max_position_embeddings": 8192},
        "vision_config": {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27,
            "image_size": 384, "patch_size": 14}}"#;

    #[test]
    fn what_a_published_configuration_leaves_out_is_assumed() {
        let config = ModelConfig::from_json(PUBLISHED).unwrap();
        assert_eq!(
            (config.text.n_heads, config.text.n_kv_heads, config.text.head_dim),
            (32, 32, 64)
        );
        assert_eq!((config.text.rope_theta, config.placeholder_ids[0]), (130_000.0, 49_190));
        let tower = format!("{:?}", config.tower);
        for part in
            ["n_heads: 16", "eps: 1e-6", "curve: GeluTanh", "grid_side: 27", "merge_size: 3"]
        {
            assert!(tower.contains(part), "{tower}");
        }
        let (n_values, n_visual) = config.n_values().unwrap();
        assert_eq!((n_values, n_visual), (2_246_784_880, 434_220_912));
    }

    #[track_caller]
    fn check_refused(from: &str, to: &str, expected: &str) {
        let error = ModelConfig::from_json(&PUBLISHED.replace(from, to)).unwrap_err();
        assert_eq!(error.to_string(), format!("config.json: {expected}"));
    }

    #[test]
    fn what_is_not_supported_is_refused_by_name() {
        check_refused(
            "\"model_type\": \"llama\"",
            "\"model_type\": \"mistral\"",
            "text_config.model_type should be llama, got \"mistral\"",
        );
        check_refused(
            "\"rope_theta\": 130000",
            "\"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8.0}",
            "text_config.rope_scaling.low_freq_factor should be a number above 0, got nothing",
        );
        check_refused(
            "\"rope_theta\": 130000",
            "\"rope_scaling\": {\"rope_type\": \"yarn\"}",
            "text_config.rope_scaling.rope_type should be default or llama3, got \"yarn\"",
        );
        check_refused(
            "\"image_size\": 384",
            "\"image_size\": 13",
            "vision_config.image_size should be 1 to 1024 patches of 14 pixels, got 13",
        );
        check_refused(
            "\"patch_size\": 14",
            "\"patch_size\": 14, \"hidden_act\": \"relu\"",
            "vision_config.hidden_act should be gelu_pytorch_tanh or gelu or quick_gelu, got \"relu\"",
        );
    }
}
