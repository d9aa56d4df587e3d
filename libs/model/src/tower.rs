//! What every vision tower is to the rest of the model, and what towers have in common.

use std::fmt::Debug;
use std::sync::Arc;

use candle_core::DType;
use vrft_kernels::{Activation, AttentionGroup, AttentionLayout, Context};
use vrft_vision::{Grid, Patches};

use crate::ModelError;
use crate::scope::Scope;

/// The shape of a vision tower.
pub(crate) trait TowerConfig: Debug + Send + Sync {
    /// Takes the tower's weights; `parts` are the places of its parts among the names, as its family lists them.
    fn load(&self, parts: &[Scope]) -> Result<Box<dyn Tower>, ModelError>;

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

/// A vision tower with its weights.
pub(crate) trait Tower: Debug + Send + Sync {
    /// The features of images, each (tokens of all images, hidden_size) in the images' order: first those that stand
    /// for the embeddings of their tokens, then one for each layer of [`TowerConfig::added_after`].
    ///
    /// `watch` is shown the output of each block, its rows in the order in which that tower computes. In training only
    /// the last `n_kept` blocks keep what the backward pass needs, the others are computed again.
    fn encode(
        &self,
        context: &Context,
        images: &[&Patches],
        n_kept: usize,
        dtype: DType,
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
    AttentionLayout { groups: n_patches.map(span).collect() }
}
