//! What both halves of the model are made of: linear layers and normalizations.

use candle_core::Tensor;

use crate::PolicyError;
use crate::scope::Scope;

/// `x · Wᵀ + b`.
#[derive(Debug)]
pub(crate) struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
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
        Ok(Self { weight, bias })
    }

    /// x (N, in) to (N, out).
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor, PolicyError> {
        Ok(kernels::linear(x, &self.weight, self.bias.as_ref())?)
    }

    /// The `idx`-th of `n` equal parts of the output alone, (N, out / n).
    pub(crate) fn forward_part(
        &self,
        x: &Tensor,
        idx: usize,
        n: usize,
    ) -> Result<Tensor, PolicyError> {
        let len = self.weight.dim(0)? / n;
        let part = |tensor: &Tensor| tensor.narrow(0, idx * len, len);
        let bias = self.bias.as_ref().map(part).transpose()?;
        Ok(kernels::linear(x, &part(&self.weight)?, bias.as_ref())?)
    }
}

/// Layer normalization of the vision tower.
#[derive(Debug)]
pub(crate) struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
}

impl LayerNorm {
    /// As written in transformers' modeling_qwen2_vl.py; no configuration key.
    const EPS: f64 = 1e-6;

    pub(crate) fn load(scope: &Scope, width: usize) -> Result<Self, PolicyError> {
        Ok(Self {
            weight: scope.tensor("weight", &[width])?,
            bias: scope.tensor("bias", &[width])?,
        })
    }

    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor, PolicyError> {
        Ok(kernels::layer_norm(x, &self.weight, &self.bias, Self::EPS)?)
    }
}

/// Root mean square normalization of the language model.
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
        Ok(kernels::rms_norm(x, &self.weight, self.eps)?)
    }
}
