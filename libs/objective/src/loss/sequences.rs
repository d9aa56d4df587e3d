//! Which packed tokens belong to one completion.

use candle_core::{Device, Result, Tensor};

/// Completions of a packed batch, S of them.
pub(super) struct Sequences {
    /// (N,): which completion each token is of.
    owners: Tensor,
    /// (S,): tokens of each, at least 1.
    lengths: Tensor,
}

impl Sequences {
    pub(super) fn new(lengths: &[usize], device: &Device) -> Result<Self> {
        let owners: Vec<u32> = (0..)
            .zip(lengths)
            .flat_map(|(owner, &length)| std::iter::repeat_n(owner, length))
            .collect();
        let lengths: Vec<f32> = lengths.iter().map(|&length| length.max(1) as f32).collect();
        Ok(Self { owners: Tensor::new(owners, device)?, lengths: Tensor::new(lengths, device)? })
    }

    /// (N,) to (S,).
    pub(super) fn sum(&self, values: &Tensor) -> Result<Tensor> {
        self.lengths.zeros_like()?.index_add(&self.owners, values, 0)
    }

    /// (N,) to (S,).
    pub(super) fn mean(&self, values: &Tensor) -> Result<Tensor> {
        self.sum(values)? / &self.lengths
    }

    /// (S,) to (N,): the number of each completion at each of its tokens.
    pub(super) fn spread(&self, values: &Tensor) -> Result<Tensor> {
        values.index_select(&self.owners, 0)
    }
}
