//! [Qwen2.5-VL](https://arxiv.org/abs/2502.13923): its predecessor with a tower of gated blocks, of which most attend
//! within windows of a frame only.

use std::sync::Arc;

use candle_core::{DType, Tensor};
use vrft_checkpoint::Keys;
use vrft_kernels::{Activation, Context};
use vrft_vision::Grid;

use super::Family;
use super::qwen2_vl::{Kind, LAYOUTS, PatchTower, TowerShape, read_model};
use crate::names::Layouts;
use crate::scope::Scope;
use crate::tower::{PatchShape, Tower, TowerConfig, within_frames};
use crate::{ModelConfig, ModelError};

mod windows;

use windows::Windows;

#[derive(Debug)]
pub(super) struct Qwen25Vl;

impl Family for Qwen25Vl {
    fn model_type(&self) -> &'static str {
        "qwen2_5_vl"
    }

    fn config(&self, root: &Keys) -> Result<ModelConfig, ModelError> {
        let vision = root.section("vision_config");
        vision.one_of("hidden_act", &["silu"])?;
        let embed_dim = vision.size("hidden_size")?.unwrap_or(3584);
        let mlp_dim = vision.size("intermediate_size")?.unwrap_or(3420);
        let out_dim = vision.size("out_hidden_size")?.unwrap_or(3584);
        let shape = TowerShape::read(&vision, Kind::Gated, [embed_dim, mlp_dim, out_dim])?;
        let tower = WindowTowerConfig::read(&vision, shape)?;
        read_model(&Qwen25Vl, root, ("out_hidden_size", out_dim), Arc::new(tower))
    }

    fn layouts(&self) -> &'static Layouts {
        &LAYOUTS
    }
}

/// The shape of a tower whose attention is within windows, except in some blocks.
#[derive(Debug, Clone)]
struct WindowTowerConfig {
    shape: TowerShape,
    /// Side of a window in merged patches.
    window: usize,
    /// Blocks whose attention spans the whole frame.
    full_attention: Vec<usize>,
}

impl WindowTowerConfig {
    fn read(vision: &Keys, shape: TowerShape) -> Result<Self, ModelError> {
        let pixels = vision.size("window_size")?.unwrap_or(112);
        let of_token = shape.merge_size * shape.patch_size;
        let expected = format!("at least {of_token}, one merged patch");
        vision.ensure(pixels >= of_token, "window_size", expected, pixels)?;
        let full_attention = vision.counts("fullatt_block_indexes")?;
        Ok(Self {
            window: pixels / shape.merge_size / shape.patch_size,
            full_attention: full_attention.unwrap_or_else(|| vec![7, 15, 23, 31]),
            shape,
        })
    }
}

impl TowerConfig for WindowTowerConfig {
    fn load(&self, parts: &[Scope]) -> Result<Box<dyn Tower>, ModelError> {
        let tower = PatchTower::load(&parts[0], &self.shape)?;
        Ok(Box::new(WindowTower { tower, config: self.clone() }))
    }

    fn patches(&self) -> PatchShape {
        self.shape.patches()
    }

    fn depth(&self) -> usize {
        self.shape.depth
    }

    fn width(&self) -> usize {
        self.shape.embed_dim
    }

    fn n_tokens(&self, grid: Grid) -> usize {
        grid.n_tokens(self.shape.merge_size)
    }

    fn block_activation_bytes(&self, n_patches: usize, dtype: DType) -> usize {
        self.shape.block_activation_bytes(n_patches, dtype)
    }

    fn end_activation_bytes(&self, n_patches: usize, dtype: DType) -> usize {
        self.shape.end_activation_bytes(n_patches, dtype)
    }
}

#[derive(Debug)]
struct WindowTower {
    tower: PatchTower,
    config: WindowTowerConfig,
}

impl Tower for WindowTower {
    fn encode(
        &self,
        context: &Context,
        pixels: &Activation,
        grids: &[Grid],
        n_kept: usize,
        watch: &mut dyn FnMut(&Activation),
    ) -> Result<Vec<Activation>, ModelError> {
        let tower = &self.tower;
        let device = context.device();
        let windows = Windows::new(grids, self.config.window, self.config.shape.merge_size);
        let order = windows.patch_order();
        let x = tower.embed(context, pixels)?; // (N, embed_dim)
        let x = vrft_kernels::select_rows(context, &x, &order)?;
        let rotary = tower.rotary(grids, device)?.select(&Tensor::new(order, device)?)?;
        let full_attention = self.config.full_attention.clone();
        let whole = Arc::new(within_frames(grids));
        let in_windows = Arc::new(windows.layout());
        let layout = move |block: usize| {
            let is_whole = full_attention.contains(&block);
            if is_whole { whole.clone() } else { in_windows.clone() }
        };
        let x = tower.run(context, x, rotary, layout, n_kept, watch)?;
        let merged = tower.merge(context, &x)?; // (tokens, hidden_size)
        Ok(vec![vrft_kernels::select_rows(context, &merged, &windows.inverse_order())?])
    }
}
