//! The weights of the language model's layers as a GPU reads them while it decodes.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};

use crate::ModelError;
use crate::names::Names;
use crate::quantized::Quantized;
use crate::shared::PackedBase;

/// The layers of one input, in the order of `vrft_kernels::Packing::layers`.
#[cfg(feature = "cuda")]
pub(crate) const PACKED_TOGETHER: [&[&str]; 4] = [
    &["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
    &["self_attn.o_proj"],
    &["mlp.gate_proj", "mlp.up_proj"],
    &["mlp.down_proj"],
];

/// Packed weights; none, where no GPU decodes with weights that stay as they are.
#[derive(Debug, Clone, Default)]
pub(crate) struct GpuPacking {
    #[cfg(feature = "cuda")]
    packing: Option<std::sync::Arc<vrft_kernels::Packing>>,
    /// Held for as long as first factors are written behind shared weights.
    #[cfg(feature = "cuda")]
    _room: Option<std::sync::Arc<std::fs::File>>,
}

#[cfg(not(feature = "cuda"))]
impl GpuPacking {
    /// Nothing to pack without a GPU.
    #[expect(clippy::unnecessary_wraps, reason = "packing may fail on a GPU")]
    pub(crate) fn pack(
        _: &mut BTreeMap<String, Tensor>,
        _: &mut Quantized,
        _: Names,
        _: &Device,
        _: PackedBase,
    ) -> Result<Self, ModelError> {
        Ok(Self::default())
    }
}

#[cfg(feature = "cuda")]
mod on_gpu {
    use std::sync::Arc;

    use candle_core::DType;
    use vrft_checkpoint::FACTORS;
    use vrft_kernels::{Nf4Matrix, PackedWeights, Packing};

    use super::{
        BTreeMap, Device, GpuPacking, ModelError, Names, PACKED_TOGETHER, PackedBase, Quantized,
        Tensor,
    };
    use crate::shared::PackedGroupBase;

    impl GpuPacking {
        /// Packs the weights of a language model on a GPU; its tensors and matrices share the packed memory afterwards.
        pub(crate) fn pack(
            tensors: &mut BTreeMap<String, Tensor>,
            quantized: &mut Quantized,
            names: Names,
            device: &Device,
            base: PackedBase,
        ) -> Result<Self, ModelError> {
            if !device.is_cuda() {
                return Ok(Self::default());
            }
            let mut layers = Vec::new();
            loop {
                let layer = format!("{}.layers.{}", names.text(), layers.len());
                let of_layer = PACKED_TOGETHER.map(|group| {
                    let modules = group.iter().map(|module| format!("{layer}.{module}"));
                    pack_group(tensors, quantized, &modules.collect::<Vec<_>>(), &base)
                });
                match of_layer {
                    [Some(qkv), Some(out), Some(gate_up), Some(down)] => {
                        layers.push([qkv?, out?, gate_up?, down?]);
                    }
                    _ => break,
                }
            }
            Ok(Self { packing: Some(Arc::new(Packing::new(layers))), _room: base.room })
        }

        pub(crate) fn packing(&self) -> Option<&Arc<Packing>> {
            self.packing.as_ref()
        }
    }

    /// Nothing if there are no such layers, or if they differ in their type.
    fn pack_group(
        tensors: &mut BTreeMap<String, Tensor>,
        quantized: &mut Quantized,
        modules: &[String],
        base: &PackedBase,
    ) -> Option<Result<PackedWeights, ModelError>> {
        let names: Vec<String> = modules.iter().map(|module| format!("{module}.weight")).collect();
        let factor = |module: &String| tensors.get(&format!("{module}.{}", FACTORS[0]));
        let first = modules.iter().find_map(factor);
        let rank = first.and_then(|a| a.dim(0).ok()).unwrap_or(0);
        let n_inner = rank * modules.len();
        let dtype = first.map_or(DType::BF16, Tensor::dtype);
        match names.first().and_then(|name| base.groups.get(name)) {
            Some(PackedGroupBase::Nf4(all)) => {
                return Some(PackedWeights::over_nf4(all, n_inner, dtype).map_err(Into::into));
            }
            // Without a right to the places for first factors the weights are copied, as if nobody shared them.
            Some(PackedGroupBase::Each(all)) if n_inner == 0 || base.room.is_some() => {
                let n_outputs = names
                    .iter()
                    .map(|name| tensors.get(name)?.dim(0).ok())
                    .sum::<Option<usize>>()?;
                return Some(PackedWeights::over(all, n_outputs, n_inner).map_err(Into::into));
            }
            _ => {}
        }
        let matrices: Option<Vec<Nf4Matrix>> =
            names.iter().map(|name| quantized.get(name).cloned()).collect();
        if let Some(matrices) = matrices {
            return packed_nf4(quantized, &names, &matrices, n_inner, dtype).transpose();
        }
        let weights: Option<Vec<Tensor>> =
            names.iter().map(|name| tensors.get(name).cloned()).collect();
        let weights = weights?;
        if weights.iter().any(|weight| weight.dtype() != weights[0].dtype()) {
            return None;
        }
        Some(packed(tensors, &names, &weights, n_inner))
    }

    fn packed(
        tensors: &mut BTreeMap<String, Tensor>,
        names: &[String],
        weights: &[Tensor],
        n_inner: usize,
    ) -> Result<PackedWeights, ModelError> {
        let packed = PackedWeights::new(&weights.iter().collect::<Vec<_>>(), n_inner)?;
        let mut start = 0;
        for (name, weight) in names.iter().zip(weights) {
            let n = weight.dim(0)?;
            tensors.insert(name.clone(), packed.rows(start, n)?);
            start += n;
        }
        Ok(packed)
    }

    /// Nothing if the matrices cannot lie behind each other.
    fn packed_nf4(
        quantized: &mut Quantized,
        names: &[String],
        matrices: &[Nf4Matrix],
        n_inner: usize,
        dtype: DType,
    ) -> Result<Option<PackedWeights>, ModelError> {
        let Some(packed) = PackedWeights::nf4(matrices, n_inner, dtype)? else { return Ok(None) };
        let mut start = 0;
        for (name, matrix) in names.iter().zip(matrices) {
            let n = matrix.dims()[0];
            quantized.insert(name.clone(), packed.nf4_rows(start, n)?);
            start += n;
        }
        Ok(Some(packed))
    }
}
