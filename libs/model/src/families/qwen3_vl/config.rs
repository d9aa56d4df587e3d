//! The shapes of tower and decoder, from `config.json`; what is absent is as transformers assumes it.

use candle_core::DType;
use vrft_checkpoint::Keys;
use vrft_vision::Grid;

use super::tower::StackTower;
use crate::config::{divides, layers, padding_id};
use crate::scope::Scope;
use crate::tower::{PatchShape, Tower, TowerConfig};
use crate::vit::{BlockShape, Curve};
use crate::{ModelError, TextConfig};

/// The most pixels that a side of a patch may have, the most patches along a side of what becomes one token, and the
/// most positions along a side.
const MAX_SIDE: usize = 1024;
/// As written in transformers' modeling files; no configuration key.
const EPS: f64 = 1e-6;

/// Reads the settings of the Qwen3 decoder.
pub(super) fn read_text(root: &Keys) -> Result<TextConfig, ModelError> {
    let text = root.section("text_config");
    let rope = text.section("rope_parameters").or(&text.section("rope_scaling")).or(&text);
    text.one_of("hidden_act", &["silu"])?;
    rope.one_of("rope_type", &["default", "mrope"])?;
    rope.one_of("type", &["default", "mrope"])?;
    let n_heads = text.size("num_attention_heads")?.unwrap_or(32);
    let n_kv_heads = text.size("num_key_value_heads")?.unwrap_or(n_heads);
    divides(&text, "num_key_value_heads", n_kv_heads, "num_attention_heads", n_heads)?;
    let head_dim = text.size("head_dim")?.unwrap_or(128);
    let even = head_dim.is_multiple_of(2);
    text.ensure(even, "head_dim", "even: its halves are rotated", head_dim)?;
    let attention_bias = text.flag("attention_bias")?.unwrap_or(false);
    Ok(TextConfig {
        hidden_size: text.size("hidden_size")?.unwrap_or(4096),
        intermediate_size: text.size("intermediate_size")?.unwrap_or(22_016),
        n_layers: layers(&text, "num_hidden_layers", Some(32))?,
        n_heads,
        n_kv_heads,
        head_dim,
        qkv_bias: attention_bias,
        o_bias: attention_bias,
        mlp_bias: false,
        qk_norm: true,
        vocab_size: text.size("vocab_size")?.unwrap_or(151_936),
        rms_norm_eps: text.positive("rms_norm_eps")?.unwrap_or(1e-6),
        rope_theta: rope.positive("rope_theta")?.unwrap_or(5e5),
        rope_stretch: None,
        rotary_axes: rotary_axes(&rope, head_dim)?,
        tie_word_embeddings: root.flag("tie_word_embeddings")?.unwrap_or(false),
        max_position_embeddings: text.size("max_position_embeddings")?.unwrap_or(128_000),
        padding_id: padding_id(&text),
    })
}

/// Frequencies follow time, height and width by turns, as long as a section has turns left; the rest follows time.
fn rotary_axes(rope: &Keys, head_dim: usize) -> Result<Vec<usize>, ModelError> {
    let by_turns = rope.flag("mrope_interleaved")?.unwrap_or(true);
    rope.ensure(by_turns, "mrope_interleaved", "true, as in all models of this family", by_turns)?;
    let sections = rope.counts("mrope_section")?.unwrap_or_else(|| vec![24, 20, 20]);
    let three = sections.len() == 3;
    rope.ensure(three, "mrope_section", "three counts", format!("{sections:?}"))?;
    let n = head_dim / 2;
    let mut axes = vec![0; n];
    for axis in [1, 2] {
        let end = sections[axis].saturating_mul(3).min(n);
        (axis..end).step_by(3).for_each(|i| axes[i] = axis);
    }
    Ok(axes)
}

/// Shape of the tower.
#[derive(Debug, Clone)]
pub(super) struct TowerShape {
    pub(super) block: BlockShape,
    pub(super) depth: usize,
    pub(super) n_channels: usize,
    /// Side of a patch in pixels.
    pub(super) patch_size: usize,
    pub(super) temporal_patch_size: usize,
    /// `merge_size`² patches become one token.
    pub(super) merge_size: usize,
    /// The language model's `hidden_size`.
    pub(super) out_dim: usize,
    /// Number of positions with a learned embedding.
    pub(super) n_positions: usize,
    /// Base of the rotary frequencies.
    pub(super) rope_theta: f64,
    /// Mergers besides the one after the last block.
    pub(super) n_mergers: usize,
    /// Blocks after which another merger makes features, ascending, each with the number of its merger.
    pub(super) merged_after: Vec<(usize, usize)>,
    /// Decoder layers after which these features are added: the first ones.
    added_after: Vec<usize>,
}

impl TowerShape {
    pub(super) fn read(vision: &Keys, hidden_size: usize) -> Result<Self, ModelError> {
        let side = |key: &str, default: usize| {
            let n = vision.size(key)?.unwrap_or(default);
            vision.ensure(n <= MAX_SIDE, key, format!("at most {MAX_SIDE}"), n)?;
            Ok::<_, ModelError>(n)
        };
        let block = BlockShape {
            dim: vision.size("hidden_size")?.unwrap_or(1152),
            mlp_dim: vision.size("intermediate_size")?.unwrap_or(4304),
            n_heads: vision.size("num_heads")?.unwrap_or(16),
            eps: EPS,
            curve: Curve::read(vision, "hidden_act")?,
        };
        block.check(vision, "num_heads")?;
        divides(vision, "4", 4, "width of a head", block.head_dim())?;
        let out_dim = vision.size("out_hidden_size")?.unwrap_or(3584);
        let expected = format!("the text model's {hidden_size}");
        vision.ensure(out_dim == hidden_size, "out_hidden_size", expected, out_dim)?;
        let n_positions = vision.size("num_position_embeddings")?.unwrap_or(2304);
        let most = MAX_SIDE * MAX_SIDE;
        let fits = n_positions <= most;
        vision.ensure(fits, "num_position_embeddings", format!("at most {most}"), n_positions)?;
        let depth = layers(vision, "depth", Some(27))?;
        let rope = vision.section("rope_parameters").or(vision);
        rope.one_of("rope_type", &["axial", "default"])?;
        let indexes = vision.counts("deepstack_visual_indexes")?.unwrap_or_else(|| vec![8, 16, 24]);
        let merger = |block| Some((block, indexes.iter().position(|index| *index == block)?));
        let merged_after: Vec<_> = (0..depth).filter_map(merger).collect();
        Ok(Self {
            block,
            depth,
            n_channels: side("in_channels", 3)?,
            patch_size: side("patch_size", 16)?,
            temporal_patch_size: side("temporal_patch_size", 2)?,
            merge_size: side("spatial_merge_size", 2)?,
            out_dim,
            n_positions,
            rope_theta: rope.positive("rope_theta")?.unwrap_or(1e4),
            n_mergers: indexes.len(),
            added_after: (0..merged_after.len()).collect(),
            merged_after,
        })
    }

    /// Values of one patch.
    pub(super) fn patch_dim(&self) -> usize {
        self.n_channels * self.temporal_patch_size * self.patch_size * self.patch_size
    }

    /// Width of the patches that become one token, side by side.
    pub(super) fn merged_dim(&self) -> usize {
        self.block.dim * self.merge_size * self.merge_size
    }
}

impl TowerConfig for TowerShape {
    fn load(&self, parts: &[Scope]) -> Result<Box<dyn Tower>, ModelError> {
        Ok(Box::new(StackTower::load(&parts[0], self)?))
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
        // Each merger: its normalized input, and its inside before and after the activation function.
        let mergers = 4 * self.block.dim * (1 + self.merged_after.len());
        n_patches * (self.patch_dim() + 2 * self.block.dim + mergers) * dtype.size_in_bytes()
    }

    fn added_after(&self) -> &[usize] {
        &self.added_after
    }
}

#[cfg(test)]
mod tests {
    use vrft_checkpoint::JsonFile;

    use super::*;
    use crate::ModelConfig;

    /// The keys that are published with the model of 4 billion parameters.
    const PUBLISHED: &str = r#"{
        "model_type": "qwen3_vl", "image_token_id": 151655, "video_token_id": 151656, "tie_word_embeddings": true,
        "text_config": {"attention_bias": false, "head_dim": 128, "hidden_act": "silu", "hidden_size": 2560,
            "intermediate_size": 9728, "max_position_embeddings": 262144, "num_attention_heads": 32,
            "num_hidden_layers": 36, "num_key_value_heads": 8, "rms_norm_eps": 1e-06,
            "rope_scaling": {"mrope_interleaved": true, "mrope_section": [24, 20, 20], "rope_type": "default"},
            "rope_theta": 5000000, "vocab_size": 151936},
        "vision_config": {"deepstack_visual_indexes": [5, 11, 17], "depth": 24, "hidden_act": "gelu_pytorch_tanh",
            "hidden_size": 1024, "in_channels": 3, "intermediate_size": 4096, "num_heads": 16,
            "num_position_embeddings": 2304, "out_hidden_size": 2560, "patch_size": 16, "spatial_merge_size": 2,
            "temporal_patch_size": 2}}"#;

    #[test]
    fn a_published_configuration_is_read() {
        let config = ModelConfig::from_json(PUBLISHED).unwrap();
        assert_eq!((config.text.q_width(), config.text.kv_width()), (4096, 1024));
        assert_eq!((config.text.rope_theta, config.text.qk_norm), (5e6, true));
        assert_eq!(config.tower.added_after(), [0, 1, 2]);
        let tower = format!("{:?}", config.tower);
        assert!(tower.contains("merged_after: [(5, 0), (11, 1), (17, 2)]"), "{tower}");
        let (n_values, n_visual) = config.n_values().unwrap();
        assert_eq!((n_values, n_visual), (4_437_815_808, 415_347_712));
    }

    #[test]
    fn frequencies_follow_the_axes_by_turns() {
        let axes = |text: &str, head_dim| {
            let file = JsonFile::parse("config.json", text).unwrap();
            rotary_axes(&file.keys(), head_dim)
        };
        let three = axes(r#"{"mrope_section": [2, 1, 2]}"#, 14).unwrap();
        assert_eq!(three, [0, 1, 2, 0, 0, 2, 0]);
        let published = axes("{}", 128).unwrap();
        assert_eq!(
            (published[..7].to_vec(), &published[58..]),
            (vec![0, 1, 2, 0, 1, 2, 0], &[1, 2, 0, 0, 0, 0][..])
        );
        let error = axes(r#"{"mrope_interleaved": false}"#, 8).unwrap_err().to_string();
        let expected =
            "mrope_interleaved should be true, as in all models of this family, got false";
        assert!(error.ends_with(expected), "{error}");
    }

    #[test]
    fn what_is_not_supported_is_refused_by_name() {
        let check = |from: &str, to: &str, expected: &str| {
            let error = ModelConfig::from_json(&PUBLISHED.replace(from, to)).unwrap_err();
            assert_eq!(error.to_string(), format!("config.json: {expected}"));
        };
        check(
            "\"out_hidden_size\": 2560",
            "\"out_hidden_size\": 2048",
            "vision_config.out_hidden_size should be the text model's 2560, got 2048",
        );
        check(
            "\"rope_type\": \"default\"",
            "\"rope_type\": \"yarn\"",
            "text_config.rope_scaling.rope_type should be default or mrope, got \"yarn\"",
        );
    }
}
