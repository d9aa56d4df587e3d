//! A decoder's weights as a GPU takes them for whole decoding steps.

use std::sync::Arc;

use candle_core::{Device, Tensor};
use vrft_kernels::{AdapterFactors, PackedWeights, Projection, StepLayer, StepWeights};

use super::{Decoder, Layer};
use crate::layers::{Linear, RmsNorm};
use crate::rotary::Rotary;
use crate::{ModelError, TextConfig};

impl Decoder {
    /// The weights for [`DecodeStep`](vrft_kernels::DecodeStep), made once; none if they change while they are used, or
    /// if its kernels do not take them.
    pub(crate) fn step_weights(
        &self,
        config: &TextConfig,
        device: &Device,
    ) -> Result<Option<Arc<StepWeights>>, ModelError> {
        if let Some(made) = self.step_weights.get() {
            return Ok(made.clone());
        }
        let made = self.make_step_weights(config, device)?;
        let is_fit = made.as_ref().map_or(Ok(false), StepWeights::is_fit)?;
        let made = made.filter(|_| is_fit).map(Arc::new);
        Ok(self.step_weights.get_or_init(|| made).clone())
    }

    fn make_step_weights(
        &self,
        config: &TextConfig,
        device: &Device,
    ) -> Result<Option<StepWeights>, ModelError> {
        let Some(packing) = self.packing.packing() else { return Ok(None) };
        if packing.layers.len() != self.layers.len() {
            return Ok(None);
        }
        let frozen =
            [self.embedding.frozen_value(), self.norm.frozen_weight(), self.head.frozen_value()];
        let [Some(embedding), Some(norm), Some(head)] = frozen else { return Ok(None) };
        let mut layers = Vec::with_capacity(self.layers.len());
        for (layer, packed) in self.layers.iter().zip(&packing.layers) {
            let Some(layer) = layer.for_step(packed, embedding)? else { return Ok(None) };
            layers.push(layer);
        }
        let frequencies = Rotary::frequencies(config);
        Ok(Some(StepWeights {
            embedding: embedding.clone(),
            layers,
            norm: norm.clone(),
            head: head.clone(),
            frequencies: Tensor::new(frequencies, device)?,
            n_heads: config.n_heads,
            n_kv_heads: config.n_kv_heads,
            head_dim: config.head_dim,
            norm_eps: config.rms_norm_eps,
            packing: packing.clone(),
            version: Arc::new(()),
        }))
    }
}

impl Layer {
    /// In the type of `like`.
    fn for_step(
        &self,
        packed: &[PackedWeights; 4],
        like: &Tensor,
    ) -> Result<Option<StepLayer>, ModelError> {
        let norms = [self.input_norm.frozen_weight(), self.mlp_norm.frozen_weight()];
        let [Some(input_norm), Some(mlp_norm)] = norms else { return Ok(None) };
        let head_norms = [&self.q_norm, &self.k_norm];
        let is_trained = |norm: &RmsNorm| norm.frozen_weight().is_none();
        if head_norms.into_iter().flatten().any(is_trained) {
            return Ok(None);
        }
        let [qkv, out, gate_up, down] = packed;
        let projections = [
            projection(&[&self.q, &self.k, &self.v], qkv, like)?,
            projection(&[&self.o], out, like)?,
            projection(&[&self.gate, &self.up], gate_up, like)?,
            projection(&[&self.down], down, like)?,
        ];
        let [Some(qkv), Some(out), Some(gate_up), Some(down)] = projections else {
            return Ok(None);
        };
        let head_norms =
            head_norms.map(|norm| norm.as_ref().and_then(RmsNorm::frozen_weight).cloned());
        let (input_norm, mlp_norm) = (input_norm.clone(), mlp_norm.clone());
        Ok(Some(StepLayer { input_norm, qkv, head_norms, out, mlp_norm, gate_up, down }))
    }
}

/// Layers of one input, by their packed weights; none if one of them is trained.
fn projection(
    layers: &[&Linear],
    packed: &PackedWeights,
    like: &Tensor,
) -> Result<Option<Projection>, ModelError> {
    let frozen: Option<Vec<_>> = layers.iter().map(|layer| layer.frozen_parts()).collect();
    let Some(parts) = frozen else { return Ok(None) };
    let behind = |tensors: Vec<Tensor>| Tensor::cat(&tensors, 0);
    let zeros =
        |rows: usize, columns: usize| Tensor::zeros((rows, columns), like.dtype(), like.device());
    let bias = parts.iter().any(|parts| parts.bias.is_some()).then(|| {
        let of_layer = |parts: &crate::layers::FrozenParts| match parts.bias {
            Some(bias) => Ok(bias.clone()),
            None => zeros(1, parts.dims.0)?.flatten_all(),
        };
        behind(parts.iter().map(of_layer).collect::<candle_core::Result<_>>()?)
    });
    let rank = parts.iter().find_map(|parts| parts.adapter).map(|(a, _, scale)| (a.dim(0), scale));
    let adapter = match rank {
        None => None,
        Some((rank, scale)) => {
            let rank = rank?;
            let mut factors = [Vec::new(), Vec::new()];
            for parts in &parts {
                let (d_out, d_in) = parts.dims;
                // A layer without an adapter has one of zeros.
                let of_layer = match parts.adapter {
                    Some((a, b, _)) => [a.clone(), b.clone()],
                    None => [zeros(rank, d_in)?, zeros(d_out, rank)?],
                };
                for (all, factor) in factors.iter_mut().zip(of_layer) {
                    all.push(factor);
                }
            }
            let [a, b] = factors.map(behind);
            Some(AdapterFactors { a: a?, b: b?, scale })
        }
    };
    let bias = bias.transpose()?;
    Ok(Some(Projection { weights: packed.clone(), bias, adapter }))
}
