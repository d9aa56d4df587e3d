//! [Qwen2-VL](https://arxiv.org/abs/2409.12191): a vision transformer of plain blocks with full attention within each
//! frame, and a decoder whose positions have three axes.

use std::sync::Arc;

use candle_core::DType;
use vrft_checkpoint::Keys;
use vrft_kernels::{Activation, Context};
use vrft_vision::Grid;

use super::Family;
use crate::names::{Layout, Layouts};
use crate::scope::Scope;
use crate::tower::{PatchShape, Tower, TowerConfig, within_frames};
use crate::{ModelConfig, ModelError};

mod block;
mod config;
mod tower;

pub(super) use block::Kind;
pub(super) use config::{TowerShape, read_model};
pub(super) use tower::PatchTower;

/// The names of the parts, the same for its successor.
pub(super) static LAYOUTS: Layouts = Layouts {
    published: Layout { visual: &["visual"], text: "model", head: "lm_head" },
    // Since transformers 4.52.
    modules: Layout { visual: &["model.visual"], text: "model.language_model", head: "lm_head" },
    embeddings: &[],
};

#[derive(Debug)]
pub(super) struct Qwen2Vl;

impl Family for Qwen2Vl {
    fn model_type(&self) -> &'static str {
        "qwen2_vl"
    }

    fn config(&self, root: &Keys) -> Result<ModelConfig, ModelError> {
        let vision = root.section("vision_config");
        vision.one_of("hidden_act", &["quick_gelu"])?;
        let embed_dim = vision.size("embed_dim")?.unwrap_or(1280);
        let mlp_dim = config::mlp_dim(&vision, embed_dim)?;
        let out_dim = vision.size("hidden_size")?.unwrap_or(3584);
        let shape = TowerShape::read(&vision, Kind::Plain, [embed_dim, mlp_dim, out_dim])?;
        read_model(&Qwen2Vl, root, ("hidden_size", out_dim), Arc::new(FrameTowerConfig(shape)))
    }

    fn layouts(&self) -> &'static Layouts {
        &LAYOUTS
    }
}

/// The shape of a tower whose attention is within each frame.
#[derive(Debug)]
struct FrameTowerConfig(TowerShape);

impl TowerConfig for FrameTowerConfig {
    fn load(&self, parts: &[Scope]) -> Result<Box<dyn Tower>, ModelError> {
        Ok(Box::new(FrameTower(PatchTower::load(&parts[0], &self.0)?)))
    }

    fn patches(&self) -> PatchShape {
        self.0.patches()
    }

    fn depth(&self) -> usize {
        self.0.depth
    }

    fn width(&self) -> usize {
        self.0.embed_dim
    }

    fn n_tokens(&self, grid: Grid) -> usize {
        grid.n_tokens(self.0.merge_size)
    }

    fn block_activation_bytes(&self, n_patches: usize, dtype: DType) -> usize {
        self.0.block_activation_bytes(n_patches, dtype)
    }

    fn end_activation_bytes(&self, n_patches: usize, dtype: DType) -> usize {
        self.0.end_activation_bytes(n_patches, dtype)
    }
}

#[derive(Debug)]
struct FrameTower(PatchTower);

impl Tower for FrameTower {
    fn encode(
        &self,
        context: &Context,
        pixels: &Activation,
        grids: &[Grid],
        n_kept: usize,
        watch: &mut dyn FnMut(&Activation),
    ) -> Result<Vec<Activation>, ModelError> {
        let x = self.0.embed(context, pixels)?; // (N, embed_dim)
        let rotary = self.0.rotary(grids, context.device())?;
        let whole = Arc::new(within_frames(grids));
        let layout = move |_| whole.clone();
        let x = self.0.run(context, x, rotary, layout, n_kept, watch)?;
        Ok(vec![self.0.merge(context, &x)?])
    }
}
