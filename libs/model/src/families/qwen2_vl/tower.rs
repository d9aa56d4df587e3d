//! The vision transformer that the towers of this family and of its successor share: patches to embeddings, blocks,
//! and the merging of neighboring patches into tokens.

use std::sync::Arc;

use candle_core::Device;
use vrft_kernels::{Activation, AttentionLayout, Context, Weight};
use vrft_vision::Grid;

use super::block::{Block, Norm};
use super::config::TowerShape;
use crate::ModelError;
use crate::layers::Linear;
use crate::rotary::Rotary;
use crate::scope::Scope;
use crate::tower::run_blocks;

/// The weights; in which order patches come and which of them see each other is given from outside.
#[derive(Debug)]
pub(in crate::families) struct PatchTower {
    shape: TowerShape,
    patch_weight: Weight,
    blocks: Vec<Arc<Block>>,
    merger_norm: Norm,
    merger_in: Linear,
    merger_out: Linear,
}

impl PatchTower {
    pub(in crate::families) fn load(scope: &Scope, shape: &TowerShape) -> Result<Self, ModelError> {
        let embed_dim = shape.embed_dim;
        let side = shape.patch_size;
        let merged = shape.merged_dim();
        let patch_shape = [embed_dim, shape.in_channels, shape.temporal_patch_size, side, side];
        let blocks =
            (0..shape.depth).map(|i| Ok(Arc::new(Block::load(&scope.at("blocks").at(i), shape)?)));
        let merger = scope.at("merger");
        Ok(Self {
            shape: shape.clone(),
            patch_weight: scope.at("patch_embed.proj").weight("weight", &patch_shape)?,
            blocks: blocks.collect::<Result<_, ModelError>>()?,
            merger_norm: Norm::load(&merger.at("ln_q"), embed_dim, shape.kind)?,
            merger_in: Linear::load(&merger.at("mlp.0"), merged, merged, true)?,
            merger_out: Linear::load(&merger.at("mlp.2"), merged, shape.out_dim, true)?,
        })
    }

    /// (N, embed_dim) of all patches of all images; `pixels` (N, patch_dim).
    pub(in crate::families) fn embed(
        &self,
        context: &Context,
        pixels: &Activation,
    ) -> Result<Activation, ModelError> {
        // The convolution's kernel is as large as its stride: it is a linear layer.
        Ok(vrft_kernels::linear(context, pixels, &self.patch_weight, None)?)
    }

    /// The angles of all patches of all images.
    pub(in crate::families) fn rotary(
        &self,
        grids: &[Grid],
        device: &Device,
    ) -> Result<Rotary, ModelError> {
        let shape = &self.shape;
        Rotary::patches(shape.rope_theta, shape.head_dim(), shape.merge_size, grids, device)
    }

    /// All blocks; x and result (N, embed_dim).
    pub(in crate::families) fn run(
        &self,
        context: &Context,
        x: Activation,
        rotary: Rotary,
        layout: impl Fn(usize) -> Arc<AttentionLayout> + Send + Sync + 'static,
        n_kept: usize,
        watch: &mut dyn FnMut(&Activation),
    ) -> Result<Activation, ModelError> {
        let shared = Arc::new((rotary, layout));
        let run = move |idx: usize, block: &Block, context: &Context, x: &Activation| {
            let (rotary, layout) = &*shared;
            block.forward(context, x, rotary, &layout(idx))
        };
        run_blocks(context, x, &self.blocks, n_kept, run, watch)
    }

    /// (N, embed_dim) to (tokens, hidden_size).
    pub(in crate::families) fn merge(
        &self,
        context: &Context,
        x: &Activation,
    ) -> Result<Activation, ModelError> {
        let normed = self.merger_norm.forward(context, x)?;
        let x = vrft_kernels::reshape(context, &normed, ((), self.shape.merged_dim()))?; // (tokens, 4 · embed_dim)
        let inner = vrft_kernels::gelu(context, &self.merger_in.forward(context, &x)?)?;
        self.merger_out.forward(context, &inner)
    }
}
