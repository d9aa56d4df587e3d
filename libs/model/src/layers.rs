//! What both halves of the model are made of: linear layers and normalizations.
//!
//! Weights that are trained are kept in f32; each layer computes in the type of its input.

use vrft_kernels::{Activation, Context, Weight};

use crate::ModelError;
use crate::lora::Adapter;
use crate::scope::Scope;

/// `x · Wᵀ + b`, with a low-rank adapter beside it where there is one.
#[derive(Debug)]
pub(crate) struct Linear {
    weight: Weight,
    bias: Option<Weight>,
    adapter: Option<Adapter>,
}

impl Linear {
    pub(crate) fn load(
        scope: &Scope,
        d_in: usize,
        d_out: usize,
        bias: bool,
    ) -> Result<Self, ModelError> {
        let weight = scope.weight("weight", &[d_out, d_in])?;
        let bias = if bias { Some(scope.weight("bias", &[d_out])?) } else { None };
        Ok(Self { weight, bias, adapter: Adapter::load(scope, d_in, d_out)? })
    }

    /// Its tensors, unless one of them is trained.
    #[cfg(feature = "cuda")]
    pub(crate) fn frozen_parts(&self) -> Option<FrozenParts<'_>> {
        let adapter = match &self.adapter {
            Some(adapter) => Some(adapter.frozen_factors()?),
            None => None,
        };
        let bias = match &self.bias {
            Some(bias) => Some(bias.frozen_value()?),
            None => None,
        };
        if self.weight.is_trainable() {
            return None;
        }
        let d_in = self.weight.dims().iter().skip(1).product();
        Some(FrozenParts { dims: (self.weight.n_rows(), d_in), bias, adapter })
    }

    /// x (N, in) to (N, out).
    pub(crate) fn forward(
        &self,
        context: &Context,
        x: &Activation,
    ) -> Result<Activation, ModelError> {
        self.forward_part(context, x, 0, 1)
    }

    /// [`Linear::forward`] of several layers on the same input.
    pub(crate) fn forward_each<const N: usize>(
        layers: [&Linear; N],
        context: &Context,
        x: &Activation,
    ) -> Result<[Activation; N], ModelError> {
        let weights = layers.map(|layer| (&layer.weight, layer.bias.as_ref()));
        let mut ys = vrft_kernels::linears(context, x, weights)?;
        for (y, layer) in ys.iter_mut().zip(layers) {
            if let Some(adapter) = &layer.adapter {
                *y = adapter.add_to(context, y.clone(), x, 0, layer.weight.n_rows())?;
            }
        }
        Ok(ys)
    }

    /// The `idx`-th of `n` equal parts of the output alone, (N, out / n).
    pub(crate) fn forward_part(
        &self,
        context: &Context,
        x: &Activation,
        idx: usize,
        n: usize,
    ) -> Result<Activation, ModelError> {
        let len = self.weight.n_rows() / n;
        let (weight, bias) = (&self.weight, self.bias.as_ref());
        let outputs = idx * len..(idx + 1) * len;
        let y = vrft_kernels::linear_part(context, x, weight, bias, outputs)?;
        let Some(adapter) = &self.adapter else { return Ok(y) };
        adapter.add_to(context, y, x, idx * len, len)
    }
}

/// The tensors of a [`Linear`] that nothing trains.
#[cfg(feature = "cuda")]
pub(crate) struct FrozenParts<'a> {
    /// Outputs and inputs.
    pub(crate) dims: (usize, usize),
    /// (out)
    pub(crate) bias: Option<&'a candle_core::Tensor>,
    /// Both factors of the adapter, and what their product is multiplied with.
    pub(crate) adapter: Option<(&'a candle_core::Tensor, &'a candle_core::Tensor, f64)>,
}

/// Layer normalization with its weight and bias.
#[derive(Debug)]
pub(crate) struct LayerNorm {
    weight: Weight,
    bias: Weight,
    eps: f64,
}

impl LayerNorm {
    pub(crate) fn load(scope: &Scope, width: usize, eps: f64) -> Result<Self, ModelError> {
        let weight = scope.weight("weight", &[width])?;
        Ok(Self { weight, bias: scope.weight("bias", &[width])?, eps })
    }

    pub(crate) fn forward(
        &self,
        context: &Context,
        x: &Activation,
    ) -> Result<Activation, ModelError> {
        Ok(vrft_kernels::layer_norm(context, x, &self.weight, &self.bias, self.eps)?)
    }
}

/// Root mean square normalization.
#[derive(Debug)]
pub(crate) struct RmsNorm {
    weight: Weight,
    eps: f64,
}

impl RmsNorm {
    pub(crate) fn load(scope: &Scope, width: usize, eps: f64) -> Result<Self, ModelError> {
        Ok(Self { weight: scope.weight("weight", &[width])?, eps })
    }

    /// Its weight, unless it is trained.
    #[cfg(feature = "cuda")]
    pub(crate) fn frozen_weight(&self) -> Option<&candle_core::Tensor> {
        self.weight.frozen_value()
    }

    pub(crate) fn forward(
        &self,
        context: &Context,
        x: &Activation,
    ) -> Result<Activation, ModelError> {
        Ok(vrft_kernels::rms_norm(context, x, &self.weight, self.eps)?)
    }

    /// [`RmsNorm::forward`] of each head of x (N, heads · width) by itself.
    pub(crate) fn forward_heads(
        &self,
        context: &Context,
        x: &Activation,
    ) -> Result<Activation, ModelError> {
        let (_, width) = x.dims2()?;
        let heads = vrft_kernels::reshape(context, x, ((), self.weight.n_rows()))?; // (N · heads, width)
        Ok(vrft_kernels::reshape(context, &self.forward(context, &heads)?, ((), width))?)
    }
}
