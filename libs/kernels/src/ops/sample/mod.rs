//! Drawing tokens on the device that has their logits, so that the logits stay there.

mod cuda;

use candle_core::{Result, Tensor};

/// How tokens are drawn.
#[derive(Debug, Clone, Copy)]
pub struct DrawSettings<'a> {
    /// Softmax temperature; 0 takes the most probable token.
    pub temperature: f64,
    /// Keep the most probable so many tokens; 0 keeps all.
    pub top_k: usize,
    /// Keep the smallest set of tokens whose probability reaches this; 1 keeps all.
    pub top_p: f64,
    /// Keep tokens at least so many times as probable as the most probable one; 0 keeps all.
    pub min_p: f64,
    /// Tokens that rows may be kept from drawing.
    pub end_ids: &'a [u32],
}

/// The row of a draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrawRow {
    /// Its stream of chance.
    pub seed: u64,
    /// The place of the token in the row, which is a token's place in the stream.
    pub position: u32,
    /// Whether a token that ends it may be drawn.
    pub may_end: bool,
}

/// A token for each line of logits (R, V), f32 on a GPU, with its logprob in the whole distribution; nothing for a line
/// that is no distribution.
///
/// A draw depends on its line, the row's seed and position alone. The stream is another one than the CPU sampler's: same
/// chances, other tokens.
///
/// # Errors
/// Logits that are not on a GPU, another number of rows than of lines.
pub fn draw_on_gpu(
    logits: &Tensor,
    rows: &[DrawRow],
    settings: &DrawSettings,
) -> Result<Vec<Option<(u32, f32)>>> {
    cuda::draw(logits, rows, settings)
}
