//! Keys and values of a session: each prefix once per group, each suffix per row.

use candle_core::Tensor;
use kernels::DecodeGroup;

use crate::PolicyError;

/// Places for suffix tokens at the start; doubled when they are full.
const FIRST_CAPACITY: usize = 32;

/// Per layer: prefix keys and values (all prompts' tokens, kv_width), and those of the suffixes
/// (rows, capacity, kv_width), of which the first `n_suffix` places are filled.
#[derive(Debug)]
pub(crate) struct Cache {
    prefix: Vec<[Tensor; 2]>,
    suffix: Vec<[Tensor; 2]>,
    n_suffix: usize,
}

impl Cache {
    pub(crate) fn new(prefix: Vec<[Tensor; 2]>, n_rows: usize) -> Result<Self, PolicyError> {
        let mut suffix = Vec::with_capacity(prefix.len());
        for [k, _] in &prefix {
            suffix.push([empty(k, n_rows, FIRST_CAPACITY)?, empty(k, n_rows, FIRST_CAPACITY)?]);
        }
        Ok(Self { prefix, suffix, n_suffix: 0 })
    }

    /// Makes room for one more token and counts it; call before [`Cache::append`].
    pub(crate) fn grow(&mut self) -> Result<(), PolicyError> {
        for tensor in self.suffix.iter_mut().flatten() {
            let (n_rows, capacity, _) = tensor.dims3()?;
            if self.n_suffix < capacity {
                break;
            }
            let larger = empty(tensor, n_rows, 2 * capacity)?;
            larger.slice_set(tensor, 1, 0)?;
            *tensor = larger;
        }
        self.n_suffix += 1;
        Ok(())
    }

    /// Stores the new token's k and v (rows, kv_width) of a layer.
    pub(crate) fn append(&self, layer: usize, k: &Tensor, v: &Tensor) -> Result<(), PolicyError> {
        for (tensor, new) in self.suffix[layer].iter().zip([k, v]) {
            tensor.slice_set(&new.contiguous()?.unsqueeze(1)?, 1, self.n_suffix - 1)?;
        }
        Ok(())
    }

    /// Attention of q (rows, heads · head_dim) in a layer.
    pub(crate) fn attend(
        &self,
        layer: usize,
        q: &Tensor,
        head_dim: usize,
        groups: &[DecodeGroup],
    ) -> Result<Tensor, PolicyError> {
        let (prefix, suffix) = (self.prefix[layer].each_ref(), self.suffix[layer].each_ref());
        Ok(kernels::decode_attention(q, prefix, suffix, self.n_suffix, head_dim, groups)?)
    }

    /// Keeps these rows, (kept,) u32.
    pub(crate) fn select(&mut self, kept: &Tensor) -> Result<(), PolicyError> {
        for tensor in self.suffix.iter_mut().flatten() {
            *tensor = tensor.index_select(kept, 0)?;
        }
        Ok(())
    }
}

/// Room for `capacity` tokens per row, of the width and type of `like`.
fn empty(like: &Tensor, n_rows: usize, capacity: usize) -> Result<Tensor, PolicyError> {
    let width = like.dim(candle_core::D::Minus1)?;
    Ok(Tensor::zeros((n_rows, capacity, width), like.dtype(), like.device())?)
}
