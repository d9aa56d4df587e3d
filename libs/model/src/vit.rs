//! The blocks of plain vision transformers: layer normalization, attention, an MLP, each beside the residual stream.
//!
//! Families give the names of the parts, and angles where they rotate queries and keys.

use std::sync::Arc;

use candle_core::DType;
use vrft_checkpoint::Keys;
use vrft_kernels::{Activation, AttentionLayout, Context};

use crate::ModelError;
use crate::config::divides;
use crate::layers::{LayerNorm, Linear};
use crate::rotary::Rotary;
use crate::scope::Scope;

/// The activation function inside an MLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Curve {
    /// The exact normal distribution.
    Gelu,
    /// Its approximation by tanh.
    GeluTanh,
    /// Its approximation by a sigmoid.
    QuickGelu,
}

const CURVES: [(&str, Curve); 3] = [
    ("gelu_pytorch_tanh", Curve::GeluTanh),
    ("gelu", Curve::Gelu),
    ("quick_gelu", Curve::QuickGelu),
];

impl Curve {
    /// The one that a key names; `gelu_pytorch_tanh` without.
    pub(crate) fn read(keys: &Keys, key: &str) -> Result<Self, ModelError> {
        let name = keys.one_of(key, &CURVES.map(|(name, _)| name))?;
        let found = CURVES.iter().find(|(known, _)| name == Some(known));
        Ok(found.map_or(Curve::GeluTanh, |(_, curve)| *curve))
    }

    fn forward(self, context: &Context, x: &Activation) -> Result<Activation, ModelError> {
        Ok(match self {
            Self::Gelu => vrft_kernels::gelu(context, x)?,
            Self::GeluTanh => vrft_kernels::gelu_tanh(context, x)?,
            Self::QuickGelu => vrft_kernels::quick_gelu(context, x)?,
        })
    }
}

/// The shape of all blocks of a tower.
#[derive(Debug, Clone)]
pub(crate) struct BlockShape {
    /// Width of the residual stream.
    pub(crate) dim: usize,
    pub(crate) mlp_dim: usize,
    /// Attention heads; divide `dim`.
    pub(crate) n_heads: usize,
    /// Added to the variance in layer normalization.
    pub(crate) eps: f64,
    pub(crate) curve: Curve,
}

impl BlockShape {
    /// An error unless the heads, by their key, divide the width.
    pub(crate) fn check(&self, vision: &Keys, heads_key: &str) -> Result<(), ModelError> {
        divides(vision, heads_key, self.n_heads, "hidden_size", self.dim)
    }

    pub(crate) fn head_dim(&self) -> usize {
        self.dim / self.n_heads
    }

    /// Bytes that one block keeps for its backward pass.
    pub(crate) fn activation_bytes(&self, n_patches: usize, dtype: DType) -> usize {
        n_patches * (11 * self.dim + 2 * self.mlp_dim) * dtype.size_in_bytes()
    }
}

/// The names of a block's parts.
#[derive(Debug)]
pub(crate) struct BlockNames {
    pub(crate) norms: [&'static str; 2],
    pub(crate) qkv: QkvNames,
    pub(crate) out: &'static str,
    pub(crate) mlp: [&'static str; 2],
}

/// The names of the projections to queries, keys and values.
#[derive(Debug)]
pub(crate) enum QkvNames {
    /// One layer, whose output is all three one after the other.
    Fused(&'static str),
    Apart([&'static str; 3]),
}

/// A block with its weights.
#[derive(Debug)]
pub(crate) struct Block {
    norms: [LayerNorm; 2],
    qkv: Qkv,
    out: Linear,
    mlp: [Linear; 2],
    curve: Curve,
    head_dim: usize,
}

#[derive(Debug)]
enum Qkv {
    Fused(Linear),
    Apart(Box<[Linear; 3]>),
}

impl Block {
    pub(crate) fn load(
        scope: &Scope,
        shape: &BlockShape,
        names: &BlockNames,
    ) -> Result<Self, ModelError> {
        let BlockShape { dim, mlp_dim, eps, .. } = *shape;
        let norm = |name| LayerNorm::load(&scope.at(name), dim, eps);
        let linear = |name, d_in, d_out| Linear::load(&scope.at(name), d_in, d_out, true);
        let qkv = match names.qkv {
            QkvNames::Fused(name) => Qkv::Fused(linear(name, dim, 3 * dim)?),
            QkvNames::Apart([q, k, v]) => {
                let layers = [linear(q, dim, dim)?, linear(k, dim, dim)?, linear(v, dim, dim)?];
                Qkv::Apart(Box::new(layers))
            }
        };
        Ok(Self {
            norms: [norm(names.norms[0])?, norm(names.norms[1])?],
            qkv,
            out: linear(names.out, dim, dim)?,
            mlp: [linear(names.mlp[0], dim, mlp_dim)?, linear(names.mlp[1], mlp_dim, dim)?],
            curve: shape.curve,
            head_dim: shape.head_dim(),
        })
    }

    /// x and result (N, dim); `layout` says which rows see each other.
    pub(crate) fn forward(
        &self,
        context: &Context,
        x: &Activation,
        rotary: Option<&Rotary>,
        layout: &Arc<AttentionLayout>,
    ) -> Result<Activation, ModelError> {
        let normed = self.norms[0].forward(context, x)?;
        let [q, k, v] = match &self.qkv {
            // One product per part: cutting a fused result apart would cost padded copies in the backward pass.
            Qkv::Fused(all) => {
                let part = |idx| all.forward_part(context, &normed, idx, 3);
                [part(0)?, part(1)?, part(2)?]
            }
            Qkv::Apart(each) => Linear::forward_each(each.each_ref(), context, &normed)?,
        };
        let rotated = |x: Activation| match rotary {
            Some(rotary) => rotary.apply(context, &x),
            None => Ok(x),
        };
        let q = rotated(q)?;
        let k = rotated(k)?;
        let attended = vrft_kernels::attention(context, &q, &k, &v, self.head_dim, layout)?;
        let x = vrft_kernels::add(context, x, &self.out.forward(context, &attended)?)?;
        let normed = self.norms[1].forward(context, &x)?;
        let inner = self.curve.forward(context, &self.mlp[0].forward(context, &normed)?)?;
        Ok(vrft_kernels::add(context, &x, &self.mlp[1].forward(context, &inner)?)?)
    }
}
