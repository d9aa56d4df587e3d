//! The weights of the language model's layers as a GPU reads them while it decodes.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};

use crate::ModelError;
use crate::names::Names;

/// Packed weights; none, where no GPU decodes with weights that stay as they are.
#[derive(Debug, Clone, Default)]
pub(crate) struct GpuPacking {
    #[cfg(feature = "cuda")]
    packing: Option<std::sync::Arc<vrft_kernels::Packing>>,
}

#[cfg(not(feature = "cuda"))]
impl GpuPacking {
    /// Nothing to pack without a GPU.
    #[expect(clippy::unnecessary_wraps, reason = "packing may fail on a GPU")]
    pub(crate) fn pack(
        _: &mut BTreeMap<String, Tensor>,
        _: Names,
        _: &Device,
    ) -> Result<Self, ModelError> {
        Ok(Self::default())
    }
}

#[cfg(feature = "cuda")]
mod on_gpu {
    use std::sync::Arc;

    use vrft_checkpoint::FACTORS;
    use vrft_kernels::{PackedWeights, Packing};

    use super::{BTreeMap, Device, GpuPacking, ModelError, Names, Tensor};

    /// The layers of one input, in the order of [`Packing::layers`].
    const PACKED_TOGETHER: [&[&str]; 4] = [
        &["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
        &["self_attn.o_proj"],
        &["mlp.gate_proj", "mlp.up_proj"],
        &["mlp.down_proj"],
    ];

    impl GpuPacking {
        /// Packs the weights of a language model on a GPU; its tensors share the packed memory afterwards.
        pub(crate) fn pack(
            tensors: &mut BTreeMap<String, Tensor>,
            names: Names,
            device: &Device,
        ) -> Result<Self, ModelError> {
            if !device.is_cuda() {
                return Ok(Self::default());
            }
            let mut layers = Vec::new();
            loop {
                let layer = format!("{}.layers.{}", names.text(), layers.len());
                let of_layer = PACKED_TOGETHER.map(|group| {
                    let modules = group.iter().map(|module| format!("{layer}.{module}"));
                    pack_group(tensors, &modules.collect::<Vec<_>>())
                });
                match of_layer {
                    [Some(qkv), Some(out), Some(gate_up), Some(down)] => {
                        layers.push([qkv?, out?, gate_up?, down?]);
                    }
                    _ => break,
                }
            }
            Ok(Self { packing: Some(Arc::new(Packing::new(layers))) })
        }

        pub(crate) fn packing(&self) -> Option<&Arc<Packing>> {
            self.packing.as_ref()
        }
    }

    /// Nothing if there are no such layers, or if they differ in their type.
    fn pack_group(
        tensors: &mut BTreeMap<String, Tensor>,
        modules: &[String],
    ) -> Option<Result<PackedWeights, ModelError>> {
        let names: Vec<String> = modules.iter().map(|module| format!("{module}.weight")).collect();
        let weights: Option<Vec<Tensor>> =
            names.iter().map(|name| tensors.get(name).cloned()).collect();
        let weights = weights?;
        if weights.iter().any(|weight| weight.dtype() != weights[0].dtype()) {
            return None;
        }
        let factor = |module: &String| tensors.get(&format!("{module}.{}", FACTORS[0]));
        let rank = modules.iter().find_map(factor).and_then(|a| a.dim(0).ok()).unwrap_or(0);
        Some(packed(tensors, &names, &weights, rank * modules.len()))
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
}
