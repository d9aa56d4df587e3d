//! The vision tower: pixel patches to the embeddings of image tokens.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use kernels::{AttentionGroup, AttentionLayout};
use vision::{Grid, Patches};

use crate::layers::{LayerNorm, Linear};
use crate::rotary::Rotary;
use crate::scope::Scope;
use crate::{PolicyError, VisionConfig};

/// A vision transformer over patches of any number of images at once; each frame sees only itself.
#[derive(Debug)]
pub(crate) struct VisionTower {
    config: VisionConfig,
    patch_weight: Tensor,
    blocks: Vec<Block>,
    merger_norm: LayerNorm,
    merger_in: Linear,
    merger_out: Linear,
}

impl VisionTower {
    pub(crate) fn load(scope: &Scope, config: &VisionConfig) -> Result<Self, PolicyError> {
        let (embed_dim, side) = (config.embed_dim, config.patch_size);
        let merged = embed_dim * config.patches_per_token();
        let patch_shape = [embed_dim, config.in_channels, config.temporal_patch_size, side, side];
        let blocks = (0..config.depth).map(|i| Block::load(&scope.at("blocks").at(i), config));
        let merger = scope.at("merger");
        Ok(Self {
            config: config.clone(),
            patch_weight: scope.at("patch_embed.proj").tensor("weight", &patch_shape)?,
            blocks: blocks.collect::<Result<_, _>>()?,
            merger_norm: LayerNorm::load(&merger.at("ln_q"), embed_dim)?,
            merger_in: Linear::load(&merger.at("mlp.0"), merged, merged, true)?,
            merger_out: Linear::load(&merger.at("mlp.2"), merged, config.out_dim, true)?,
        })
    }

    /// (tokens of all images, hidden_size) in the images' order.
    pub(crate) fn forward(
        &self,
        images: &[&Patches],
        dtype: DType,
        device: &Device,
    ) -> Result<Tensor, PolicyError> {
        let grids: Vec<Grid> = images.iter().map(|image| image.grid).collect();
        let x = self.pixels(images)?.to_dtype(dtype)?.to_device(device)?; // (N, patch_dim)
        // The convolution's kernel is as large as its stride: it is a linear layer.
        let patch_weight = self.patch_weight.reshape(((), self.config.patch_dim()))?;
        let mut x = kernels::linear(&x, &patch_weight, None)?; // (N, embed_dim)
        let rotary = Rotary::patches(&self.config, &grids, device)?;
        let layout = Arc::new(frames(&grids));
        for block in &self.blocks {
            x = block.forward(&x, &rotary, &layout)?;
        }
        let merged = self.config.embed_dim * self.config.patches_per_token();
        let x = self.merger_norm.forward(&x)?.reshape(((), merged))?; // (tokens, 4 · embed_dim)
        self.merger_out.forward(&kernels::gelu(&self.merger_in.forward(&x)?)?)
    }

    fn pixels(&self, images: &[&Patches]) -> Result<Tensor, PolicyError> {
        let patch_dim = self.config.patch_dim();
        let merge_size = self.config.merge_size;
        let mut pixels = Vec::new();
        for (idx, image) in images.iter().enumerate() {
            let grid = image.grid;
            if !grid.h.is_multiple_of(merge_size) || !grid.w.is_multiple_of(merge_size) {
                let expected = format!("multiples of {merge_size}");
                let got = format!("{}x{}", grid.h, grid.w);
                return Err(PolicyError::input(format!("grid of image {idx}"), expected, got));
            }
            if image.pixels.len() != grid.n_patches() * patch_dim {
                let expected = format!("{} patches of {patch_dim} values", grid.n_patches());
                let got = format!("{} values", image.pixels.len());
                return Err(PolicyError::input(format!("pixels of image {idx}"), expected, got));
            }
            pixels.extend_from_slice(&image.pixels);
        }
        let n_patches = pixels.len() / patch_dim;
        Ok(Tensor::from_vec(pixels, (n_patches, patch_dim), &Device::Cpu)?)
    }
}

#[derive(Debug)]
struct Block {
    norm1: LayerNorm,
    norm2: LayerNorm,
    qkv: Linear,
    proj: Linear,
    fc1: Linear,
    fc2: Linear,
    head_dim: usize,
}

impl Block {
    fn load(scope: &Scope, config: &VisionConfig) -> Result<Self, PolicyError> {
        let (dim, mlp_dim) = (config.embed_dim, config.mlp_dim);
        Ok(Self {
            norm1: LayerNorm::load(&scope.at("norm1"), dim)?,
            norm2: LayerNorm::load(&scope.at("norm2"), dim)?,
            qkv: Linear::load(&scope.at("attn.qkv"), dim, 3 * dim, true)?,
            proj: Linear::load(&scope.at("attn.proj"), dim, dim, true)?,
            fc1: Linear::load(&scope.at("mlp.fc1"), dim, mlp_dim, true)?,
            fc2: Linear::load(&scope.at("mlp.fc2"), mlp_dim, dim, true)?,
            head_dim: config.head_dim(),
        })
    }

    fn forward(
        &self,
        x: &Tensor,
        rotary: &Rotary,
        layout: &Arc<AttentionLayout>,
    ) -> Result<Tensor, PolicyError> {
        let normed = self.norm1.forward(x)?;
        // One product per part: cutting a fused result apart would cost three padded copies on the way back.
        let q = rotary.apply(&self.qkv.forward_part(&normed, 0, 3)?)?;
        let k = rotary.apply(&self.qkv.forward_part(&normed, 1, 3)?)?;
        let v = self.qkv.forward_part(&normed, 2, 3)?;
        let seen = kernels::attention(&q, &k, &v, self.head_dim, layout)?;
        let x = (x + self.proj.forward(&seen)?)?;
        let inner = kernels::quick_gelu(&self.fc1.forward(&self.norm2.forward(&x)?)?)?;
        Ok((x + self.fc2.forward(&inner)?)?)
    }
}

/// Full attention within each frame.
fn frames(grids: &[Grid]) -> AttentionLayout {
    let frames = grids.iter().flat_map(|grid| std::iter::repeat_n(grid.h * grid.w, grid.t));
    let group = |prefix| AttentionGroup { prefix, suffixes: Vec::new(), causal: false };
    AttentionLayout { groups: frames.map(group).collect() }
}
