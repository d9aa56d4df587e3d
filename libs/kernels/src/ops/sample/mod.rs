//! Drawing tokens on the device that has their logits, so that the logits stay there.

mod cuda;

pub use self::cuda::GpuSampler;

/// How tokens are drawn.
#[derive(Debug, Clone)]
pub struct DrawSettings {
    /// Softmax temperature; 0 takes the most probable token.
    pub temperature: f64,
    /// Keep the most probable so many tokens; 0 keeps all.
    pub top_k: usize,
    /// Keep the smallest set of tokens whose probability reaches this; 1 keeps all.
    pub top_p: f64,
    /// Keep tokens at least so many times as probable as the most probable one; 0 keeps all.
    pub min_p: f64,
    /// Tokens that end a row.
    pub end_ids: Vec<u32>,
    /// Rows of fewer tokens are not ended.
    pub min_tokens: usize,
}

impl DrawSettings {
    /// Whether every token may be drawn: by the greedy choice too, which the others do not change.
    fn keeps_all(&self) -> bool {
        self.temperature == 0.0 || (self.top_k == 0 && self.top_p >= 1.0 && self.min_p <= 0.0)
    }
}

/// The row of a draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrawRow {
    /// Its stream of chance.
    pub seed: u64,
    /// The place of the token in the row, which is a token's place in the stream.
    pub position: u32,
}
