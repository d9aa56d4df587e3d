//! A block of the vision tower: attention, then an MLP, each beside the residual stream.

use std::sync::Arc;

use vrft_kernels::{Activation, AttentionLayout, Context};

use crate::layers::{Linear, TowerNorm};
use crate::rotary::Rotary;
use crate::scope::Scope;
use crate::{PolicyError, TowerKind, VisionConfig};

#[derive(Debug)]
pub(super) struct Block {
    norm1: TowerNorm,
    norm2: TowerNorm,
    qkv: Linear,
    proj: Linear,
    mlp: Mlp,
    head_dim: usize,
}

impl Block {
    pub(super) fn load(scope: &Scope, config: &VisionConfig) -> Result<Self, PolicyError> {
        let (dim, kind) = (config.embed_dim, &config.kind);
        Ok(Self {
            norm1: TowerNorm::load(&scope.at("norm1"), dim, kind)?,
            norm2: TowerNorm::load(&scope.at("norm2"), dim, kind)?,
            qkv: Linear::load(&scope.at("attn.qkv"), dim, 3 * dim, true)?,
            proj: Linear::load(&scope.at("attn.proj"), dim, dim, true)?,
            mlp: Mlp::load(&scope.at("mlp"), dim, config)?,
            head_dim: config.head_dim(),
        })
    }

    /// x and result (N, embed_dim).
    pub(super) fn forward(
        &self,
        context: &Context,
        x: &Activation,
        rotary: &Rotary,
        layout: &Arc<AttentionLayout>,
    ) -> Result<Activation, PolicyError> {
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

#[derive(Debug)]
enum Mlp {
    /// Qwen2-VL.
    Plain { fc1: Linear, fc2: Linear },
    /// Qwen2.5-VL.
    Gated { gate: Linear, up: Linear, down: Linear },
}

impl Mlp {
    fn load(scope: &Scope, dim: usize, config: &VisionConfig) -> Result<Self, PolicyError> {
        let inner = config.mlp_dim;
        let widening = |name| Linear::load(&scope.at(name), dim, inner, true);
        let narrowing = |name| Linear::load(&scope.at(name), inner, dim, true);
        Ok(match config.kind {
            TowerKind::Plain => Self::Plain { fc1: widening("fc1")?, fc2: narrowing("fc2")? },
            TowerKind::Windowed { .. } => Self::Gated {
                gate: widening("gate_proj")?,
                up: widening("up_proj")?,
                down: narrowing("down_proj")?,
            },
        })
    }

    fn forward(&self, context: &Context, x: &Activation) -> Result<Activation, PolicyError> {
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
