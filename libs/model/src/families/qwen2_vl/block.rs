//! A block of the vision tower: attention, then an MLP, each beside the residual stream.

use std::sync::Arc;

use vrft_kernels::{Activation, AttentionLayout, Context};

use super::config::TowerShape;
use crate::ModelError;
use crate::layers::{LayerNorm, Linear, RmsNorm};
use crate::rotary::Rotary;
use crate::scope::Scope;

/// As written in transformers' modeling files; no configuration key.
const EPS: f64 = 1e-6;

/// What the blocks are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::families) enum Kind {
    /// Layer normalization, an MLP with QuickGELU.
    Plain,
    /// RMS normalization, a gated MLP.
    Gated,
}

#[derive(Debug)]
pub(super) struct Block {
    norm1: Norm,
    norm2: Norm,
    qkv: Linear,
    proj: Linear,
    mlp: Mlp,
    head_dim: usize,
}

impl Block {
    pub(super) fn load(scope: &Scope, shape: &TowerShape) -> Result<Self, ModelError> {
        let dim = shape.embed_dim;
        let kind = shape.kind;
        Ok(Self {
            norm1: Norm::load(&scope.at("norm1"), dim, kind)?,
            norm2: Norm::load(&scope.at("norm2"), dim, kind)?,
            qkv: Linear::load(&scope.at("attn.qkv"), dim, 3 * dim, true)?,
            proj: Linear::load(&scope.at("attn.proj"), dim, dim, true)?,
            mlp: Mlp::load(&scope.at("mlp"), dim, shape)?,
            head_dim: shape.head_dim(),
        })
    }

    /// x and result (N, embed_dim).
    pub(super) fn forward(
        &self,
        context: &Context,
        x: &Activation,
        rotary: &Rotary,
        layout: &Arc<AttentionLayout>,
    ) -> Result<Activation, ModelError> {
        let normed = self.norm1.forward(context, x)?;
        // One product per part: cutting a fused result apart would cost three padded copies in the backward pass.
        let q = rotary.apply(context, &self.qkv.forward_part(context, &normed, 0, 3)?)?;
        let k = rotary.apply(context, &self.qkv.forward_part(context, &normed, 1, 3)?)?;
        let v = self.qkv.forward_part(context, &normed, 2, 3)?;
        let attended = vrft_kernels::attention(context, &q, &k, &v, self.head_dim, layout)?;
        let x = vrft_kernels::add(context, x, &self.proj.forward(context, &attended)?)?;
        let normed = self.norm2.forward(context, &x)?;
        Ok(vrft_kernels::add(context, &x, &self.mlp.forward(context, &normed)?)?)
    }
}

/// The normalization of a block, and of the patches before they are merged.
#[derive(Debug)]
pub(super) enum Norm {
    Layer(LayerNorm),
    Rms(RmsNorm),
}

impl Norm {
    pub(super) fn load(scope: &Scope, width: usize, kind: Kind) -> Result<Self, ModelError> {
        Ok(match kind {
            Kind::Plain => Self::Layer(LayerNorm::load(scope, width, EPS)?),
            Kind::Gated => Self::Rms(RmsNorm::load(scope, width, EPS)?),
        })
    }

    pub(super) fn forward(
        &self,
        context: &Context,
        x: &Activation,
    ) -> Result<Activation, ModelError> {
        match self {
            Self::Layer(norm) => norm.forward(context, x),
            Self::Rms(norm) => norm.forward(context, x),
        }
    }
}

#[derive(Debug)]
enum Mlp {
    Plain { fc1: Linear, fc2: Linear },
    Gated { gate: Linear, up: Linear, down: Linear },
}

impl Mlp {
    fn load(scope: &Scope, dim: usize, shape: &TowerShape) -> Result<Self, ModelError> {
        let inner = shape.mlp_dim;
        let widening = |name| Linear::load(&scope.at(name), dim, inner, true);
        let narrowing = |name| Linear::load(&scope.at(name), inner, dim, true);
        Ok(match shape.kind {
            Kind::Plain => Self::Plain { fc1: widening("fc1")?, fc2: narrowing("fc2")? },
            Kind::Gated => Self::Gated {
                gate: widening("gate_proj")?,
                up: widening("up_proj")?,
                down: narrowing("down_proj")?,
            },
        })
    }

    fn forward(&self, context: &Context, x: &Activation) -> Result<Activation, ModelError> {
        match self {
            Self::Plain { fc1, fc2 } => {
                let inner = vrft_kernels::quick_gelu(context, &fc1.forward(context, x)?)?;
                fc2.forward(context, &inner)
            }
            Self::Gated { gate, up, down } => {
                let (gate, up) = (gate.forward(context, x)?, up.forward(context, x)?);
                down.forward(context, &vrft_kernels::swiglu(context, &gate, &up)?)
            }
        }
    }
}
