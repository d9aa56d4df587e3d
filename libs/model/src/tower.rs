//! The vision tower: pixel patches to the embeddings of image tokens.

mod block;
mod windows;

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use vrft_kernels::{Activation, AttentionGroup, AttentionLayout, Context, Weight};
use vrft_vision::{Grid, Patches};

use crate::layers::{Linear, TowerNorm};
use crate::rotary::Rotary;
use crate::scope::Scope;
use crate::{PolicyError, TowerKind, VisionConfig};
use block::Block;
use windows::Windows;

/// A vision transformer over patches of any number of images at once; each frame sees only itself.
#[derive(Debug)]
pub(crate) struct VisionTower {
    config: VisionConfig,
    patch_weight: Weight,
    blocks: Vec<Arc<Block>>,
    merger_norm: TowerNorm,
    merger_in: Linear,
    merger_out: Linear,
}

impl VisionTower {
    pub(crate) fn load(scope: &Scope, config: &VisionConfig) -> Result<Self, PolicyError> {
        let (embed_dim, side) = (config.embed_dim, config.patch_size);
        let merged = embed_dim * config.patches_per_token();
        let patch_shape = [embed_dim, config.in_channels, config.temporal_patch_size, side, side];
        let blocks = (0..config.depth)
            .map(|i| Ok(Arc::new(Block::load(&scope.at("blocks").at(i), config)?)));
        let merger = scope.at("merger");
        Ok(Self {
            config: config.clone(),
            patch_weight: scope.at("patch_embed.proj").weight("weight", &patch_shape)?,
            blocks: blocks.collect::<Result<_, PolicyError>>()?,
            merger_norm: TowerNorm::load(&merger.at("ln_q"), embed_dim, &config.kind)?,
            merger_in: Linear::load(&merger.at("mlp.0"), merged, merged, true)?,
            merger_out: Linear::load(&merger.at("mlp.2"), merged, config.out_dim, true)?,
        })
    }

    /// (tokens of all images, hidden_size) in the images' order; `watch` sees the output of each block, its rows
    /// in the order in which that tower computes. In training only the last `n_kept` blocks keep what the backward
    /// pass needs, the others are computed again.
    pub(crate) fn forward(
        &self,
        context: &Context,
        images: &[&Patches],
        n_kept: usize,
        dtype: DType,
        watch: &mut dyn FnMut(&Activation),
    ) -> Result<Activation, PolicyError> {
        let grids: Vec<Grid> = images.iter().map(|image| image.grid).collect();
        let device = context.device();
        let pixels = self.pixels(images)?.to_dtype(dtype)?.to_device(device)?; // (N, patch_dim)
        let pixels = Activation::constant(&pixels)?;
        // The convolution's kernel is as large as its stride: it is a linear layer.
        let x = vrft_kernels::linear(context, &pixels, &self.patch_weight, None)?; // (N, embed_dim)
        let rotary = Rotary::patches(&self.config, &grids, device)?;
        let whole = Arc::new(frames(&grids));
        let x = match &self.config.kind {
            TowerKind::Plain => self.run(context, x, &rotary, &|_| &whole, n_kept, watch)?,
            TowerKind::Windowed { window, full_attention } => {
                let windows = Windows::new(&grids, *window, self.config.merge_size);
                let order = windows.patch_order();
                let x = vrft_kernels::select_rows(context, &x, &order)?;
                let rotary = rotary.select(&Tensor::new(order, device)?)?;
                let in_windows = Arc::new(windows.layout());
                let layout = |block: usize| {
                    if full_attention.contains(&block) { &whole } else { &in_windows }
                };
                let x = self.run(context, x, &rotary, &layout, n_kept, watch)?;
                let merged = self.merge(context, &x)?;
                return Ok(vrft_kernels::select_rows(context, &merged, &windows.inverse_order())?);
            }
        };
        self.merge(context, &x)
    }

    /// All blocks; x and result (N, embed_dim).
    fn run<'a>(
        &self,
        context: &Context,
        mut x: Activation,
        rotary: &Rotary,
        layout: &dyn Fn(usize) -> &'a Arc<AttentionLayout>,
        n_kept: usize,
        watch: &mut dyn FnMut(&Activation),
    ) -> Result<Activation, PolicyError> {
        for (idx, block) in self.blocks.iter().enumerate() {
            let (block, rotary, layout) = (block.clone(), rotary.clone(), layout(idx).clone());
            let run = move |context: &Context, x: &Activation| {
                block.forward(context, x, &rotary, &layout)
            };
            x = if idx.saturating_add(n_kept) >= self.blocks.len() {
                run(context, &x)?
            } else {
                vrft_kernels::checkpoint(context, &x, run)?
            };
            watch(&x);
        }
        Ok(x)
    }

    /// (N, embed_dim) to (tokens, hidden_size).
    fn merge(&self, context: &Context, x: &Activation) -> Result<Activation, PolicyError> {
        let merged = self.config.embed_dim * self.config.patches_per_token();
        let normed = self.merger_norm.forward(context, x)?;
        let x = vrft_kernels::reshape(context, &normed, ((), merged))?; // (tokens, 4 · embed_dim)
        let inner = vrft_kernels::gelu(context, &self.merger_in.forward(context, &x)?)?;
        self.merger_out.forward(context, &inner)
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

/// Full attention within each frame.
fn frames(grids: &[Grid]) -> AttentionLayout {
    let frames = grids.iter().flat_map(|grid| std::iter::repeat_n(grid.h * grid.w, grid.t));
    AttentionLayout { groups: frames.map(span).collect() }
}

/// Patches that see each other and nothing else.
fn span(n_patches: usize) -> AttentionGroup {
    AttentionGroup { prefix: n_patches, suffixes: Vec::new(), causal: false, first_query: 0 }
}
