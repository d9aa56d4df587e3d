//! What both halves of the model are made of: linear layers and normalizations.
//!
//! Weights that are trained are kept in f32; each layer computes in the type of its input.

use candle_core::{DType, Tensor};

use crate::PolicyError;
use crate::lora::Adapter;
use crate::scope::Scope;

/// `x · Wᵀ + b`, with a low-rank adapter beside it where there is one.
#[derive(Debug)]
pub(crate) struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
    adapter: Option<Adapter>,
}

impl Linear {
    pub(crate) fn load(
        scope: &Scope,
        d_in: usize,
        d_out: usize,
        bias: bool,
    ) -> Result<Self, PolicyError> {
        let weight = scope.tensor("weight", &[d_out, d_in])?;
        let bias = if bias { Some(scope.tensor("bias", &[d_out])?) } else { None };
        Ok(Self { weight, bias, adapter: Adapter::load(scope, d_in, d_out)? })
    }

    /// x (N, in) to (N, out).
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor, PolicyError> {
        self.forward_part(x, 0, 1)
    }

    /// [`Linear::forward`] of several layers on the same input.
    pub(crate) fn forward_each<const N: usize>(
        layers: [&Linear; N],
        x: &Tensor,
    ) -> Result<[Tensor; N], PolicyError> {
        let mut ys =
            vrft_kernels::linears(x, layers.map(|layer| (&layer.weight, layer.bias.as_ref())))?;
        for (y, layer) in ys.iter_mut().zip(layers) {
            if let Some(adapter) = &layer.adapter {
                *y = vrft_kernels::add(y, &adapter.forward_part(x, 0, layer.weight.dim(0)?)?)?;
            }
        }
        Ok(ys)
    }

    /// The `idx`-th of `n` equal parts of the output alone, (N, out / n).
    pub(crate) fn forward_part(
        &self,
        x: &Tensor,
        idx: usize,
        n: usize,
    ) -> Result<Tensor, PolicyError> {
        let len = self.weight.dim(0)? / n;
        let outputs = idx * len..(idx + 1) * len;
        let y = vrft_kernels::linear_part(x, &self.weight, self.bias.as_ref(), outputs)?;
        match &self.adapter {
            Some(adapter) => Ok(vrft_kernels::add(&y, &adapter.forward_part(x, idx * len, len)?)?),
            None => Ok(y),
        }
    }
}

/// As written in transformers' modeling files of both towers; no configuration key.
const TOWER_EPS: f64 = 1e-6;

/// Layer normalization.
#[derive(Debug)]
pub(crate) struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
}

impl LayerNorm {
    fn load(scope: &Scope, width: usize) -> Result<Self, PolicyError> {
        Ok(Self {
            weight: scope.tensor("weight", &[width])?,
            bias: scope.tensor("bias", &[width])?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor, PolicyError> {
        Ok(vrft_kernels::layer_norm(x, &self.weight, &self.bias, TOWER_EPS)?)
    }
}

/// Root mean square normalization.
#[derive(Debug)]
pub(crate) struct RmsNorm {
    weight: Tensor,
    eps: f64,
}

impl RmsNorm {
    pub(crate) fn load(scope: &Scope, width: usize, eps: f64) -> Result<Self, PolicyError> {
        Ok(Self { weight: scope.tensor("weight", &[width])?, eps })
    }

    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor, PolicyError> {
        Ok(vrft_kernels::rms_norm(x, &self.weight, self.eps)?)
    }
}

/// The normalization of a vision tower, whichever kind it uses.
#[derive(Debug)]
pub(crate) enum TowerNorm {
    /// Qwen2-VL.
    Layer(LayerNorm),
    /// Qwen2.5-VL.
    Rms(RmsNorm),
}

impl TowerNorm {
    pub(crate) fn load(
        scope: &Scope,
        width: usize,
        kind: &crate::TowerKind,
    ) -> Result<Self, PolicyError> {
        Ok(match kind {
            crate::TowerKind::Plain => Self::Layer(LayerNorm::load(scope, width)?),
            crate::TowerKind::Windowed { .. } => Self::Rms(RmsNorm::load(scope, width, TOWER_EPS)?),
        })
    }

    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor, PolicyError> {
        match self {
            Self::Layer(norm) => norm.forward(x),
            Self::Rms(norm) => norm.forward(x),
        }
    }
}

/// Rows of an embedding in the type that the model computes in.
pub(crate) fn embed(
    embedding: &Tensor,
    token_ids: &[u32],
    dtype: DType,
) -> Result<Tensor, PolicyError> {
    Ok(vrft_kernels::select_rows(embedding, token_ids, dtype)?)
}
