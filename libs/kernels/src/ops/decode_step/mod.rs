//! A whole decoding step on an NVIDIA GPU: one new token for each row, through all layers of a decoder.
//!
//! Operation by operation, a step of a few rows costs launches and allocations rather than computation. Here all results
//! have their places before, what surrounds a product is one kernel, layers of one input are one product, and adapters
//! are computed within these kernels, unmerged. From its third time on, a step of the same sizes is repeated as a
//! CUDA graph: what differs between two steps is in tables that are copied to the GPU before.

mod cuda;
mod numbers;

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{CudaDevice, DType, Result, Tensor, bail};

use super::nf4::Wide;
use crate::Nf4Matrix;

pub use self::cuda::DecodeStep;
pub(crate) use super::decode_attention::cuda::HeadShape;

/// Widest head that the kernels take.
const WIDEST_HEAD: usize = 256;
/// Widths are multiples of it: values that are loaded at once.
const VALUES_AT_ONCE: usize = 8;

/// The weights of linear layers of one input, behind each other in memory, with room behind them for the first factors
/// of their adapters: one product gives the outputs of all of them and the adapters' inner values.
#[derive(Debug, Clone)]
pub struct PackedWeights {
    values: Values,
    n_outputs: usize,
    n_inner: usize,
    d_in: usize,
}

#[derive(Debug, Clone)]
enum Values {
    /// (outputs + inner values, in)
    Each(Tensor),
    /// (outputs, in) of 4 bits, and beside it (inner values, in) in the type to compute in.
    Nf4(Nf4Matrix, Option<Tensor>),
}

impl PackedWeights {
    /// Copies weights (out, in) behind each other, and makes room for `n_inner` rows.
    ///
    /// # Errors
    /// No weight, weights of several widths or types.
    pub fn new(weights: &[&Tensor], n_inner: usize) -> Result<Self> {
        let Some(first) = weights.first() else { bail!("packed weights are of a layer") };
        let n_outputs = weights.iter().map(|weight| weight.dim(0)).sum::<Result<usize>>()?;
        let room = match n_inner {
            0 => None,
            n => Some(Tensor::zeros((n, first.dim(1)?), first.dtype(), first.device())?),
        };
        let parts: Vec<&Tensor> = weights.iter().copied().chain(&room).collect();
        let values = Values::Each(Tensor::cat(&parts, 0)?);
        Ok(Self { values, n_outputs, n_inner, d_in: first.dim(1)? })
    }

    /// As [`PackedWeights::new`], of matrices of 4-bit numbers; `dtype` is the adapters'. Nothing if the matrices cannot
    /// lie behind each other.
    ///
    /// # Errors
    /// Fails if the device has no memory left.
    pub fn nf4(matrices: &[Nf4Matrix], n_inner: usize, dtype: DType) -> Result<Option<Self>> {
        let Some(matrix) = Nf4Matrix::behind_each_other(matrices)? else { return Ok(None) };
        Self::over_nf4(&matrix, n_inner, dtype).map(Some)
    }

    /// Weights that lie behind each other already, (outputs, in) or more rows: the `n_inner` behind the outputs are the
    /// places for first factors.
    ///
    /// # Errors
    /// Fewer rows.
    pub fn over(all: &Tensor, n_outputs: usize, n_inner: usize) -> Result<Self> {
        let values = Values::Each(all.narrow(0, 0, n_outputs + n_inner)?);
        Ok(Self { values, n_outputs, n_inner, d_in: all.dim(1)? })
    }

    /// As [`PackedWeights::nf4`], of matrices that lie behind each other already as one.
    ///
    /// # Errors
    /// Fails if the device has no memory left.
    pub fn over_nf4(matrix: &Nf4Matrix, n_inner: usize, dtype: DType) -> Result<Self> {
        let [n_outputs, d_in] = *matrix.dims();
        let inner = match n_inner {
            0 => None,
            n => Some(Tensor::zeros((n, d_in), dtype, matrix.device())?),
        };
        let values = Values::Nf4(matrix.clone(), inner);
        Ok(Self { values, n_outputs, n_inner, d_in })
    }

    /// The rows of a layer, as its weight: they share the memory.
    ///
    /// # Errors
    /// Rows that are not there.
    pub fn rows(&self, start: usize, n: usize) -> Result<Tensor> {
        match &self.values {
            Values::Each(all) => all.narrow(0, start, n),
            Values::Nf4(..) => bail!("packed weights of 4 bits have no tensor"),
        }
    }

    /// As [`PackedWeights::rows`], of 4-bit numbers.
    ///
    /// # Errors
    /// Rows that are not there, weights of another kind.
    pub fn nf4_rows(&self, start: usize, n: usize) -> Result<Nf4Matrix> {
        match &self.values {
            Values::Each(_) => bail!("packed weights are not of 4 bits"),
            Values::Nf4(matrix, _) => matrix.some_rows(start, n),
        }
    }

    /// Outputs and inner values.
    fn n_rows(&self) -> usize {
        self.n_outputs + self.n_inner
    }

    /// Puts the first factors of adapters, (inner values, in), into their place.
    fn put_inner(&self, a: &Tensor) -> Result<()> {
        match &self.values {
            Values::Each(all) => all.slice_set(a, 0, self.n_outputs),
            Values::Nf4(_, Some(inner)) => inner.slice_set(a, 0, 0),
            Values::Nf4(_, None) => bail!("decode_step: no place for adapters"),
        }
    }

    /// The tensor in the type to compute in, if there is one.
    fn tensor(&self) -> Option<&Tensor> {
        match &self.values {
            Values::Each(all) => Some(all),
            Values::Nf4(_, inner) => inner.as_ref(),
        }
    }

    /// Whether the kernels take it, in this type.
    fn is_fit(&self, dtype: DType) -> bool {
        match &self.values {
            Values::Each(_) => true,
            Values::Nf4(matrix, inner) => {
                dtype == DType::BF16 && Wide { matrix, inner: inner.as_ref() }.is_fit()
            }
        }
    }
}

/// The weights of all layers, packed. Versions of a policy that differ in their adapters alone share them; whose first
/// factors are in their places is changed between two steps.
#[derive(Debug)]
pub struct Packing {
    /// For each layer those of [`StepLayer::qkv`], `out`, `gate_up` and `down`.
    pub layers: Vec<[PackedWeights; 4]>,
    holder: Mutex<Option<Arc<()>>>,
}

impl Packing {
    /// Weights whose places for adapters are empty.
    pub fn new(layers: Vec<[PackedWeights; 4]>) -> Self {
        Self { layers, holder: Mutex::new(None) }
    }
}

/// Linear layers of one input.
#[derive(Debug)]
pub struct Projection {
    /// Their weights.
    pub weights: PackedWeights,
    /// (outputs)
    pub bias: Option<Tensor>,
    /// Their adapters.
    pub adapter: Option<AdapterFactors>,
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
    fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        let of_adapter = self.adapter.iter().flat_map(|adapter| [&adapter.a, &adapter.b]);
        self.weights.tensor().into_iter().chain(&self.bias).chain(of_adapter)
    }

    fn rank(&self) -> Result<usize> {
        self.adapter.as_ref().map_or(Ok(0), |adapter| adapter.b.dim(1))
    }

    /// Whether the adapters' places are as many as they need.
    fn has_room(&self) -> Result<bool> {
        let n_inner = self.adapter.as_ref().map_or(Ok(0), |adapter| adapter.a.dim(0))?;
        Ok(n_inner == 0 || n_inner == self.weights.n_inner)
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
    fn projections(&self) -> [&Projection; 4] {
        [&self.qkv, &self.out, &self.gate_up, &self.down]
    }

    fn tensors(&self) -> Vec<&Tensor> {
        let norms = [&self.input_norm, &self.mlp_norm];
        let of_projections = self.projections().into_iter().flat_map(Projection::tensors);
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
    /// What the layers' weights are packed in.
    pub packing: Arc<Packing>,
    /// Tells these adapters from those of other versions.
    pub version: Arc<()>,
}

impl StepWeights {
    /// Whether the kernels can take it; if not, a step is computed operation by operation.
    ///
    /// # Errors
    /// A tensor that is no matrix where one belongs.
    pub fn is_fit(&self) -> Result<bool> {
        let Some(layer) = self.layers.first() else { return Ok(false) };
        let (width, inner) = (self.width()?, layer.down.weights.d_in);
        let q_width = self.n_heads * self.head_dim;
        let mut have_room = true;
        for projection in self.projections() {
            have_room &= projection.has_room()?;
        }
        let even = [width, inner, q_width].iter().all(|width| width.is_multiple_of(VALUES_AT_ONCE));
        let dtype = self.embedding.dtype();
        have_room &= self.projections().all(|projection| projection.weights.is_fit(dtype));
        let is_of_one_type = self.tensors().all(|t| t.dtype() == dtype && t.is_contiguous());
        Ok(even
            && have_room
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

    fn projections(&self) -> impl Iterator<Item = &Projection> {
        self.layers.iter().flat_map(StepLayer::projections)
    }

    /// Puts the first factors of the adapters into their places, unless they are there.
    fn take_hold(&self) -> Result<()> {
        let mut holder = self.packing.holder.lock().unwrap_or_else(PoisonError::into_inner);
        if holder.as_ref().is_some_and(|holder| Arc::ptr_eq(holder, &self.version)) {
            return Ok(());
        }
        *holder = None;
        for Projection { weights, adapter, .. } in self.projections() {
            if let Some(adapter) = adapter {
                weights.put_inner(&adapter.a)?;
            }
        }
        *holder = Some(self.version.clone());
        Ok(())
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
