//! A whole decoding step on an NVIDIA GPU: one new token for each row, through all layers of a decoder.
//!
//! Operation by operation, a step of a few rows costs launches and allocations rather than computation. Here all results
//! have their places before, what surrounds a product is one kernel, layers of one input are one product, and adapters
//! are computed within these kernels, unmerged. From its third time on, a step of the same sizes is repeated as a
//! CUDA graph: what differs between two steps is in tables that are copied to the GPU before.

mod cuda;
mod numbers;

use std::sync::Arc;

use candle_core::{CudaDevice, DType, Result, Tensor, bail};

pub use self::cuda::DecodeStep;
pub(crate) use super::decode_attention::cuda::HeadShape;

/// Widest head that the kernels take.
const WIDEST_HEAD: usize = 256;
/// Widths are multiples of it: values that are loaded at once.
const VALUES_AT_ONCE: usize = 8;

/// Linear layers of one input, their outputs behind each other.
#[derive(Debug)]
pub struct Projection {
    /// The first of the weights, (out, in); those of the others lie behind it in memory.
    first: Tensor,
    n_outputs: usize,
    /// (outputs)
    bias: Option<Tensor>,
    adapter: Option<AdapterFactors>,
}

/// The low-rank adapters of a [`Projection`]'s layers, which all have the same rank.
#[derive(Debug)]
pub struct AdapterFactors {
    /// The first factors behind each other, (layers · rank, in).
    pub a: Tensor,
    /// The second factors behind each other, (outputs, rank).
    pub b: Tensor,
    /// What the product with both is multiplied with.
    pub scale: f64,
}

impl Projection {
    /// Of weights (out, in); they are copied unless they lie behind each other in memory. The bias has a value for each
    /// output of all.
    ///
    /// # Errors
    /// No weight, one that is not contiguous or not on a GPU.
    pub fn new(
        weights: &[&Tensor],
        bias: Option<Tensor>,
        adapter: Option<AdapterFactors>,
    ) -> Result<Self> {
        let Some(first) = weights.first() else { bail!("a projection has a layer") };
        let n_outputs = weights.iter().map(|w| w.dim(0)).sum::<Result<usize>>()?;
        let first = if cuda::lie_behind_each_other(weights)? {
            (*first).clone()
        } else {
            Tensor::cat(weights, 0)?
        };
        Ok(Self { first, n_outputs, bias, adapter })
    }

    fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        let of_adapter = self.adapter.iter().flat_map(|adapter| [&adapter.a, &adapter.b]);
        [&self.first].into_iter().chain(&self.bias).chain(of_adapter)
    }

    fn rank(&self) -> Result<usize> {
        self.adapter.as_ref().map_or(Ok(0), |adapter| adapter.b.dim(1))
    }

    /// Inner values of its adapters for a row.
    fn n_inner(&self) -> Result<usize> {
        self.adapter.as_ref().map_or(Ok(0), |adapter| adapter.a.dim(0))
    }
}

/// A layer of the decoder.
#[derive(Debug)]
pub struct StepLayer {
    /// Weight of the normalization before attention, (width).
    pub input_norm: Tensor,
    /// To queries, keys and values.
    pub qkv: Projection,
    /// Weights of the normalizations of queries and keys by head, (head_dim).
    pub head_norms: [Option<Tensor>; 2],
    /// From what was attended to.
    pub out: Projection,
    /// Weight of the normalization before the MLP, (width).
    pub mlp_norm: Tensor,
    /// To gates and what they gate.
    pub gate_up: Projection,
    /// From the gated values.
    pub down: Projection,
}

impl StepLayer {
    fn tensors(&self) -> Vec<&Tensor> {
        let projections = [&self.qkv, &self.out, &self.gate_up, &self.down];
        let norms = [&self.input_norm, &self.mlp_norm];
        let of_projections = projections.into_iter().flat_map(Projection::tensors);
        of_projections.chain(norms).chain(self.head_norms.iter().flatten()).collect()
    }
}

/// A decoder on a GPU: all tensors in one type, f32 or bfloat16.
#[derive(Debug)]
pub struct StepWeights {
    /// (V, width)
    pub embedding: Tensor,
    /// At least one.
    pub layers: Vec<StepLayer>,
    /// Weight of the last normalization, (width).
    pub norm: Tensor,
    /// (V, width)
    pub head: Tensor,
    /// Rotary frequencies of a head, (head_dim / 2) f32.
    pub frequencies: Tensor,
    /// Heads of the queries.
    pub n_heads: usize,
    /// Heads of keys and values; divides the heads of the queries.
    pub n_kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Added to the mean square in the normalizations.
    pub norm_eps: f64,
}

impl StepWeights {
    /// Whether the kernels can take it; if not, a step is computed operation by operation.
    ///
    /// # Errors
    /// A tensor that is no matrix where one belongs.
    pub fn is_fit(&self) -> Result<bool> {
        let Some(layer) = self.layers.first() else { return Ok(false) };
        let (width, inner) = (self.width()?, layer.down.first.dim(1)?);
        let q_width = self.n_heads * self.head_dim;
        let even = [width, inner, q_width].iter().all(|width| width.is_multiple_of(VALUES_AT_ONCE));
        let dtype = self.embedding.dtype();
        let is_of_one_type = self.tensors().all(|t| t.dtype() == dtype && t.is_contiguous());
        Ok(even
            && is_of_one_type
            && matches!(dtype, DType::F32 | DType::BF16)
            && self.head_dim <= WIDEST_HEAD
            && self.head_dim.is_multiple_of(2)
            && self.n_heads.is_multiple_of(self.n_kv_heads.max(1)))
    }

    fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        let own = [&self.embedding, &self.norm, &self.head];
        own.into_iter().chain(self.layers.iter().flat_map(StepLayer::tensors))
    }

    fn width(&self) -> Result<usize> {
        self.embedding.dim(1)
    }

    fn heads(&self) -> HeadShape {
        let Self { n_heads, n_kv_heads, head_dim, .. } = *self;
        HeadShape { n_heads, n_kv_heads, head_dim }
    }

    fn device(&self) -> Result<&CudaDevice> {
        self.embedding.device().as_cuda_device()
    }
}

impl DecodeStep {
    /// Steps by these weights.
    pub fn new(weights: Arc<StepWeights>) -> Self {
        Self::with_weights(weights)
    }
}
