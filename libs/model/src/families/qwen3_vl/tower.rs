//! The tower: patches to embeddings, blocks, and mergers that make tokens after some of the blocks and after the last.

use std::sync::Arc;

use vrft_kernels::{Activation, Context, Weight};
use vrft_vision::Grid;

use super::config::TowerShape;
use super::positions::{N_TAPS, taps};
use crate::ModelError;
use crate::layers::{LayerNorm, Linear};
use crate::rotary::Rotary;
use crate::scope::Scope;
use crate::tower::{Tower, run_blocks, within_frames};
use crate::vit::{Block, BlockNames, QkvNames};

const NAMES: BlockNames = BlockNames {
    norms: ["norm1", "norm2"],
    qkv: QkvNames::Fused("attn.qkv"),
    out: "attn.proj",
    mlp: ["mlp.linear_fc1", "mlp.linear_fc2"],
};

#[derive(Debug)]
pub(super) struct StackTower {
    shape: TowerShape,
    patch_weight: Weight,
    patch_bias: Weight,
    /// (n_positions, dim)
    positions: Weight,
    blocks: Vec<Arc<Block>>,
    merger: Merger,
    mergers: Vec<Merger>,
}

impl StackTower {
    pub(super) fn load(scope: &Scope, shape: &TowerShape) -> Result<Self, ModelError> {
        let dim = shape.block.dim;
        let side = shape.patch_size;
        let patch = scope.at("patch_embed.proj");
        let patch_shape = [dim, shape.n_channels, shape.temporal_patch_size, side, side];
        let block = |i| {
            let scope = scope.at("blocks").at(i);
            Ok(Arc::new(Block::load(&scope, &shape.block, &NAMES)?))
        };
        let merger = |i| Merger::load(&scope.at("deepstack_merger_list").at(i), shape, true);
        Ok(Self {
            patch_weight: patch.weight("weight", &patch_shape)?,
            patch_bias: patch.weight("bias", &[dim])?,
            positions: scope.at("pos_embed").weight("weight", &[shape.n_positions, dim])?,
            blocks: (0..shape.depth).map(block).collect::<Result<_, ModelError>>()?,
            merger: Merger::load(&scope.at("merger"), shape, false)?,
            mergers: (0..shape.n_mergers).map(merger).collect::<Result<_, ModelError>>()?,
            shape: shape.clone(),
        })
    }

    /// (N, dim) of all patches of all images; `pixels` (N, patch_dim).
    fn embed(
        &self,
        context: &Context,
        pixels: &Activation,
        grids: &[Grid],
    ) -> Result<Activation, ModelError> {
        let shape = &self.shape;
        // The convolution's kernel is as large as its stride: it is a linear layer.
        let x = vrft_kernels::linear(context, pixels, &self.patch_weight, Some(&self.patch_bias))?;
        let taps = taps(grids, shape.n_positions.isqrt(), shape.merge_size);
        let places =
            vrft_kernels::mix_rows(context, &self.positions, &taps, N_TAPS, pixels.dtype())?;
        Ok(vrft_kernels::add(context, &x, &places)?)
    }
}

impl Tower for StackTower {
    fn encode(
        &self,
        context: &Context,
        pixels: &Activation,
        grids: &[Grid],
        n_kept: usize,
        watch: &mut dyn FnMut(&Activation),
    ) -> Result<Vec<Activation>, ModelError> {
        let shape = &self.shape;
        let mut x = self.embed(context, pixels, grids)?;
        let (theta, head_dim) = (shape.rope_theta, shape.block.head_dim());
        let device = context.device();
        let rotary = Rotary::patches(theta, head_dim, shape.merge_size, grids, device)?;
        let shared = Arc::new((rotary, Arc::new(within_frames(grids))));
        let run = move |_, block: &Block, context: &Context, x: &Activation| {
            block.forward(context, x, Some(&shared.0), &shared.1)
        };
        let mut features = Vec::with_capacity(1 + shape.merged_after.len());
        let mut start = 0;
        for (block, merger) in &shape.merged_after {
            let end = block + 1;
            // Of all blocks the last so many are kept, whichever stretch they are in.
            let n_kept = n_kept.saturating_sub(self.blocks.len() - end);
            x = run_blocks(context, x, &self.blocks[start..end], n_kept, run.clone(), watch)?;
            features.push(self.mergers[*merger].forward(context, &x)?);
            start = end;
        }
        x = run_blocks(context, x, &self.blocks[start..], n_kept, run, watch)?;
        features.insert(0, self.merger.forward(context, &x)?);
        Ok(features)
    }
}

/// Makes one token of the patches of a block.
#[derive(Debug)]
struct Merger {
    norm: LayerNorm,
    inner: Linear,
    outer: Linear,
    merged_dim: usize,
    /// Whether the patches are normalized together, when they are side by side; else each by itself before.
    norms_merged: bool,
}

impl Merger {
    fn load(scope: &Scope, shape: &TowerShape, norms_merged: bool) -> Result<Self, ModelError> {
        let merged = shape.merged_dim();
        let width = if norms_merged { merged } else { shape.block.dim };
        Ok(Self {
            norm: LayerNorm::load(&scope.at("norm"), width, shape.block.eps)?,
            inner: Linear::load(&scope.at("linear_fc1"), merged, merged, true)?,
            outer: Linear::load(&scope.at("linear_fc2"), merged, shape.out_dim, true)?,
            merged_dim: merged,
            norms_merged,
        })
    }

    /// (N, dim) to (tokens, out_dim).
    fn forward(&self, context: &Context, x: &Activation) -> Result<Activation, ModelError> {
        let side_by_side = |x: &Activation| {
            vrft_kernels::reshape(context, x, ((), self.merged_dim)) // (tokens, merged_dim)
        };
        let x = if self.norms_merged {
            self.norm.forward(context, &side_by_side(x)?)?
        } else {
            side_by_side(&self.norm.forward(context, x)?)?
        };
        let inner = vrft_kernels::gelu(context, &self.inner.forward(context, &x)?)?;
        self.outer.forward(context, &inner)
    }
}
