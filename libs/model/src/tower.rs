//! What every vision tower is to the rest of the model, and what towers have in common.

use std::fmt::Debug;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use vrft_kernels::{Activation, AttentionGroup, AttentionLayout, Context};
use vrft_vision::{Grid, Patches};

use crate::ModelError;
use crate::scope::Scope;

/// The shape of a vision tower.
pub(crate) trait TowerConfig: Debug + Send + Sync {
    /// Takes the tower's weights; `parts` are the places of its parts among the names, as its family lists them.
    fn load(&self, parts: &[Scope]) -> Result<Box<dyn Tower>, ModelError>;

    /// What its patches are like.
    fn patches(&self) -> PatchShape;

    /// How many blocks it has.
    fn depth(&self) -> usize;

    /// Width of its residual stream.
    fn width(&self) -> usize;

    /// Tokens that an image of this grid has in the language model.
    fn n_tokens(&self, grid: Grid) -> usize;

    /// Bytes that one block keeps for its backward pass.
    fn block_activation_bytes(&self, n_patches: usize, dtype: DType) -> usize;

    /// Bytes that everything but the blocks keeps for its backward pass.
    fn end_activation_bytes(&self, n_patches: usize, dtype: DType) -> usize;

    /// Decoder layers after which further features of the images are added to the hidden states, ascending.
    fn added_after(&self) -> &[usize] {
        &[]
    }
}

/// The patches that a tower reads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PatchShape {
    /// Values of a patch.
    pub(crate) dim: usize,
    /// `merge_size`² patches become one token.
    pub(crate) merge_size: usize,
}

/// A vision tower with its weights.
pub(crate) trait Tower: Debug + Send + Sync {
    /// The features of images, each (tokens of all images, hidden_size) in the images' order: first those that stand
    /// for the embeddings of their tokens, then one for each layer of [`TowerConfig::added_after`].
    ///
    /// `pixels` are the patches of all images, (N, values of a patch), in the type that is computed in; `grids` says how
    /// they lie in the images. Where the pixels themselves have a gradient, as in an attack, it reaches them.
    ///
    /// `watch` is shown the output of each block, its rows in the order in which that tower computes. In training only
    /// the last `n_kept` blocks keep what the backward pass needs, the others are computed again.
    fn encode(
        &self,
        context: &Context,
        pixels: &Activation,
        grids: &[Grid],
        n_kept: usize,
        watch: &mut dyn FnMut(&Activation),
    ) -> Result<Vec<Activation>, ModelError>;
}

/// Runs the blocks of a tower one after the other; only the last `n_kept` keep what the backward pass needs.
pub(crate) fn run_blocks<B>(
    context: &Context,
    mut x: Activation,
    blocks: &[Arc<B>],
    n_kept: usize,
    run: impl Fn(usize, &B, &Context, &Activation) -> Result<Activation, ModelError>
    + Clone
    + Send
    + Sync
    + 'static,
    watch: &mut dyn FnMut(&Activation),
) -> Result<Activation, ModelError>
where
    B: Send + Sync + 'static,
{
    for (idx, block) in blocks.iter().enumerate() {
        let block = block.clone();
        let run = run.clone();
        let run = move |context: &Context, x: &Activation| run(idx, &block, context, x);
        x = if idx.saturating_add(n_kept) >= blocks.len() {
            run(context, &x)?
        } else {
            vrft_kernels::checkpoint(context, &x, run)?
        };
        watch(&x);
    }
    Ok(x)
}

/// Full attention within each frame.
pub(crate) fn within_frames(grids: &[Grid]) -> AttentionLayout {
    let frames = grids.iter().flat_map(|grid| std::iter::repeat_n(grid.h * grid.w, grid.t));
    within(frames)
}

/// Full attention within each of some stretches of patches.
pub(crate) fn within(n_patches: impl Iterator<Item = usize>) -> AttentionLayout {
    let span = |n_patches| AttentionGroup {
        prefix: n_patches,
        suffixes: Vec::new(),
        causal: false,
        first_query: 0,
    };
    AttentionLayout::new(n_patches.map(span).collect())
}

/// Row and column of each patch, in the order in which patches come: merge block after merge block.
pub(crate) fn block_order(grid: &Grid, merge_size: usize) -> Vec<[usize; 2]> {
    let mut positions = Vec::with_capacity(grid.n_patches());
    for _ in 0..grid.t {
        for block_row in 0..grid.h / merge_size {
            for block_column in 0..grid.w / merge_size {
                for i in 0..merge_size * merge_size {
                    positions.push([
                        block_row * merge_size + i / merge_size,
                        block_column * merge_size + i % merge_size,
                    ]);
                }
            }
        }
    }
    positions
}

/// (N, patch_dim) of all patches of all images, in main memory.
///
/// # Errors
/// A grid that no whole tokens can be made of, patches of another size than the model's.
pub(crate) fn pixels(images: &[&Patches], shape: PatchShape) -> Result<Tensor, ModelError> {
    let PatchShape { dim: patch_dim, merge_size } = shape;
    let mut pixels = Vec::new();
    for (idx, image) in images.iter().enumerate() {
        let grid = image.grid;
        if !grid.h.is_multiple_of(merge_size) || !grid.w.is_multiple_of(merge_size) {
            let expected = format!("multiples of {merge_size}");
            let got = format!("{}x{}", grid.h, grid.w);
            return Err(ModelError::input(format!("grid of image {idx}"), expected, got));
        }
        if image.pixels.len() != grid.n_patches() * patch_dim {
            let expected = format!("{} patches of {patch_dim} values", grid.n_patches());
            let got = format!("{} values", image.pixels.len());
            return Err(ModelError::input(format!("pixels of image {idx}"), expected, got));
        }
        pixels.extend_from_slice(&image.pixels);
    }
    let n_patches = pixels.len() / patch_dim;
    Ok(Tensor::from_vec(pixels, (n_patches, patch_dim), &Device::Cpu)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches_come_in_merge_blocks() {
        let grid = Grid { t: 1, h: 2, w: 4 };
        let expected = [[0, 0], [0, 1], [1, 0], [1, 1], [0, 2], [0, 3], [1, 2], [1, 3]];
        assert_eq!(block_order(&grid, 2), expected);
    }
}
