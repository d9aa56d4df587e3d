//! Shape of the vision tower.

use vrft_checkpoint::Keys;

use super::{Architecture, divides, layers};
use crate::PolicyError;

/// The most pixels that a side of a patch may have, and the most patches along a side of what becomes one token.
const MAX_SIDE: usize = 1024;
/// The widest that the inside of an MLP may be, as a multiple of its outside.
const MAX_MLP_RATIO: f64 = 64.0;

/// The two kinds of tower.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TowerKind {
    /// Qwen2-VL: layer normalization, a plain MLP with QuickGELU, full attention within each frame.
    Plain,
    /// Qwen2.5-VL: RMS normalization, a gated MLP, attention within windows except in some blocks.
    Windowed {
        /// Side of a window in merged patches.
        window: usize,
        /// Blocks whose attention spans the whole frame.
        full_attention: Vec<usize>,
    },
}

/// Shape of the vision tower.
#[derive(Debug, Clone, PartialEq)]
pub struct VisionConfig {
    /// What its blocks are made of.
    pub kind: TowerKind,
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

    pub(super) fn read(vision: &Keys, architecture: Architecture) -> Result<Self, PolicyError> {
        let size =
            |key: &str, default: usize| Ok::<_, PolicyError>(vision.size(key)?.unwrap_or(default));
        let side = |key: &str, default: usize| {
            let n = size(key, default)?;
            vision.ensure(n <= MAX_SIDE, key, format!("at most {MAX_SIDE}"), n)?;
            Ok::<_, PolicyError>(n)
        };
        let (patch_size, merge_size) = (side("patch_size", 14)?, side("spatial_merge_size", 2)?);
        let (kind, embed_dim, mlp_dim, out_dim) = match architecture {
            Architecture::Qwen2Vl => {
                vision.one_of("hidden_act", &["quick_gelu"])?;
                let embed_dim = size("embed_dim", 1280)?;
                let ratio = vision.number("mlp_ratio")?.unwrap_or(4.0);
                let fits = ratio > 0.0 && ratio <= MAX_MLP_RATIO;
                let expected = format!("a number above 0 and at most {MAX_MLP_RATIO}");
                vision.ensure(fits, "mlp_ratio", expected, format!("{ratio:?}"))?;
                let mlp_dim = (embed_dim as f64 * ratio) as usize;
                (TowerKind::Plain, embed_dim, mlp_dim, size("hidden_size", 3584)?)
            }
            Architecture::Qwen25Vl => {
                vision.one_of("hidden_act", &["silu"])?;
                let pixels = size("window_size", 112)?;
                let window = pixels / merge_size / patch_size;
                let expected = format!("at least {}, one merged patch", merge_size * patch_size);
                vision.ensure(window > 0, "window_size", expected, pixels)?;
                let full_attention = vision.counts("fullatt_block_indexes")?;
                let full_attention = full_attention.unwrap_or_else(|| vec![7, 15, 23, 31]);
                (
                    TowerKind::Windowed { window, full_attention },
                    size("hidden_size", 3584)?,
                    size("intermediate_size", 3420)?,
                    size("out_hidden_size", 3584)?,
                )
            }
        };
        let rope = vision.section("rope_parameters").or(vision);
        let config = Self {
            kind,
            embed_dim,
            depth: layers(vision, "depth", Some(32))?,
            n_heads: size("num_heads", 16)?,
            mlp_dim,
            out_dim,
            in_channels: side("in_channels", side("in_chans", 3)?)?,
            patch_size,
            temporal_patch_size: side("temporal_patch_size", 2)?,
            merge_size,
            rope_theta: rope.positive("rope_theta")?.unwrap_or(1e4),
        };
        divides(vision, "num_heads", config.n_heads, "width", embed_dim)?;
        divides(vision, "4", 4, "width of a head", config.head_dim())?;
        Ok(config)
    }
}
