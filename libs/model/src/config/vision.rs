//! Shape of the vision tower.

use super::Architecture;
use super::section::{Section, config_error, divides};
use crate::PolicyError;

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

    pub(super) fn from_section(
        vision: &Section,
        architecture: Architecture,
    ) -> Result<Self, PolicyError> {
        let (patch_size, merge_size) =
            (vision.size("patch_size", Some(14))?, vision.size("spatial_merge_size", Some(2))?);
        let (kind, embed_dim, mlp_dim, out_dim) = match architecture {
            Architecture::Qwen2Vl => {
                vision.one_of("hidden_act", &["quick_gelu"], Some("quick_gelu"))?;
                let embed_dim = vision.size("embed_dim", Some(1280))?;
                let mlp_dim = embed_dim as f64 * vision.number("mlp_ratio", 4.0)?;
                let out_dim = vision.size("hidden_size", Some(3584))?;
                (TowerKind::Plain, embed_dim, mlp_dim as usize, out_dim)
            }
            Architecture::Qwen25Vl => {
                vision.one_of("hidden_act", &["silu"], Some("silu"))?;
                let pixels = vision.size("window_size", Some(112))?;
                let window = pixels / merge_size / patch_size;
                if window == 0 {
                    let expected =
                        format!("at least {}, one merged patch", merge_size * patch_size);
                    let got = pixels.to_string();
                    return Err(config_error("vision_config.window_size", &expected, &got));
                }
                let full_attention = vision.indices("fullatt_block_indexes", &[7, 15, 23, 31])?;
                (
                    TowerKind::Windowed { window, full_attention },
                    vision.size("hidden_size", Some(3584))?,
                    vision.size("intermediate_size", Some(3420))?,
                    vision.size("out_hidden_size", Some(3584))?,
                )
            }
        };
        let rope = vision.child("rope_parameters").or(vision);
        let config = Self {
            kind,
            embed_dim,
            depth: vision.size("depth", Some(32))?,
            n_heads: vision.size("num_heads", Some(16))?,
            mlp_dim,
            out_dim,
            in_channels: vision.size("in_channels", Some(vision.size("in_chans", Some(3))?))?,
            patch_size,
            temporal_patch_size: vision.size("temporal_patch_size", Some(2))?,
            merge_size,
            rope_theta: rope.number("rope_theta", 1e4)?,
        };
        divides("vision_config.num_heads", config.n_heads, "its width", embed_dim)?;
        divides("4", 4, "the width of a vision head", config.head_dim())?;
        Ok(config)
    }
}
