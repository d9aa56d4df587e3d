//! The SigLIP tower over tiles, and the connector that makes tokens of its patches.

use std::sync::Arc;

use candle_core::DType;
use vrft_kernels::{Activation, Context, Weight};
use vrft_vision::Grid;

use super::config::TowerShape;
use super::positions::places;
use crate::ModelError;
use crate::layers::{LayerNorm, Linear};
use crate::scope::Scope;
use crate::tower::{Tower, block_order, run_blocks, within_frames};
use crate::vit::{Block, BlockNames, QkvNames};

const NAMES: BlockNames = BlockNames {
    norms: ["layer_norm1", "layer_norm2"],
    qkv: QkvNames::Apart(["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"]),
    out: "self_attn.out_proj",
    mlp: ["mlp.fc1", "mlp.fc2"],
};

#[derive(Debug)]
pub(super) struct TileTower {
    shape: TowerShape,
    patch_weight: Weight,
    patch_bias: Weight,
    /// (grid_side², dim)
    positions: Weight,
    blocks: Vec<Arc<Block>>,
    norm: LayerNorm,
    connector: Linear,
}

impl TileTower {
    pub(super) fn load(
        vision: &Scope,
        connector: &Scope,
        shape: &TowerShape,
    ) -> Result<Self, ModelError> {
        let dim = shape.block.dim;
        let embeddings = vision.at("embeddings");
        let patch = embeddings.at("patch_embedding");
        let side = shape.patch_size;
        let block = |i| {
            let scope = vision.at("encoder.layers").at(i);
            Ok(Arc::new(Block::load(&scope, &shape.block, &NAMES)?))
        };
        let table = [shape.grid_side * shape.grid_side, dim];
        Ok(Self {
            patch_weight: patch.weight("weight", &[dim, shape.n_channels, side, side])?,
            patch_bias: patch.weight("bias", &[dim])?,
            positions: embeddings.at("position_embedding").weight("weight", &table)?,
            blocks: (0..shape.depth).map(block).collect::<Result<_, ModelError>>()?,
            norm: LayerNorm::load(&vision.at("post_layernorm"), dim, shape.block.eps)?,
            connector: Linear::load(
                &connector.at("modality_projection.proj"),
                shape.merged_dim(),
                shape.out_dim,
                false,
            )?,
            shape: shape.clone(),
        })
    }

    /// (N, dim): what was learned of the place of each patch in its tile.
    fn positions(
        &self,
        context: &Context,
        grids: &[Grid],
        dtype: DType,
    ) -> Result<Activation, ModelError> {
        let side = self.shape.grid_side;
        let mut ids = Vec::new();
        for grid in grids {
            let rows = places(grid.h, side);
            let columns = places(grid.w, side);
            let id = |[row, column]: [usize; 2]| rows[row] * side as u32 + columns[column];
            ids.extend(block_order(grid, self.shape.merge_size).into_iter().map(id));
        }
        Ok(vrft_kernels::embedding(context, &self.positions, &ids, dtype)?)
    }
}

impl Tower for TileTower {
    fn encode(
        &self,
        context: &Context,
        pixels: &Activation,
        grids: &[Grid],
        n_kept: usize,
        watch: &mut dyn FnMut(&Activation),
    ) -> Result<Vec<Activation>, ModelError> {
        let shape = &self.shape;
        // The convolution's kernel is as large as its stride: it is a linear layer.
        let x = vrft_kernels::linear(context, pixels, &self.patch_weight, Some(&self.patch_bias))?;
        let x = vrft_kernels::add(context, &x, &self.positions(context, grids, pixels.dtype())?)?; // (N, dim)
        let layout = Arc::new(within_frames(grids));
        let run = move |_, block: &Block, context: &Context, x: &Activation| {
            block.forward(context, x, None, &layout)
        };
        let x = run_blocks(context, x, &self.blocks, n_kept, run, watch)?;
        let normed = self.norm.forward(context, &x)?;
        let merged = vrft_kernels::reshape(context, &normed, ((), shape.merged_dim()))?; // (tokens, merged_dim)
        Ok(vec![self.connector.forward(context, &merged)?])
    }
}
