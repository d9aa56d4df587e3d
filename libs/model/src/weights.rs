//! One version of the weights, and the models that compute with them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use candle_core::{DType, Tensor, Var};
use vrft_checkpoint::is_adapter;

use crate::features::FeatureCache;
use crate::lora::Lora;
use crate::model::Model;
use crate::packing_for_gpu::GpuPacking;
use crate::prefixes::PrefixCache;
use crate::quantized::Quantized;
use crate::{ModelConfig, ModelError};

/// Caches of what weights that do not change compute.
#[derive(Debug)]
pub(crate) struct Caches {
    /// Outlives a version, since most leave the tower as it was.
    pub(crate) features: Arc<FeatureCache>,
    /// Bytes for the prompts that a version has read.
    pub(crate) prefix_bytes: usize,
}

/// A version of the weights.
#[derive(Debug)]
pub(crate) struct Weights {
    /// All tensors by name, without a gradient.
    pub(crate) tensors: BTreeMap<String, Tensor>,
    /// The same of 4 bits; shared by all versions.
    pub(crate) quantized: Arc<Quantized>,
    /// Computes with the variables where there are any.
    pub(crate) model: Arc<Model>,
    /// The same with the adapters off; only if there are some.
    pub(crate) base: Option<Model>,
    /// What the weights of the layers lie in, if they are packed.
    pub(crate) packing: GpuPacking,
}

impl Weights {
    #[expect(clippy::too_many_arguments, reason = "all that a version is made of")]
    pub(crate) fn new(
        config: &ModelConfig,
        dtype: DType,
        lora: Option<&Lora>,
        tensors: BTreeMap<String, Tensor>,
        quantized: Arc<Quantized>,
        variables: &BTreeMap<String, Var>,
        caches: &Caches,
        packing: GpuPacking,
    ) -> Result<Self, ModelError> {
        let names = config.names(&tensors);
        let has_adapted_tower = tensors.keys().any(|n| is_adapter(n) && names.is_visual(n));
        let of_base = (!has_adapted_tower).then(|| caches.features.clone());
        let features = Some(caches.features.clone());
        let mut tracked = tensors.clone();
        tracked.extend(variables.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())));
        let of_frozen = PrefixCache::new(caches.prefix_bytes).filter(|_| variables.is_empty());
        let (model, used) = Model::new(config, &tracked, &quantized, lora, dtype, features)?;
        let model = Arc::new(model.with_prefix_cache(of_frozen).with_packing(packing.clone()));
        let base = |_| Model::new(config, &tensors, &quantized, None, dtype, of_base);
        let base = lora.map(base).transpose()?;
        let base =
            base.map(|(base, _)| base.with_prefix_cache(PrefixCache::new(caches.prefix_bytes)));
        let tensors = tensors.into_iter().filter(|(name, _)| used.contains(name)).collect();
        Ok(Self { tensors, quantized, model, base, packing })
    }

    /// What differs from one version to the next: the adapters if there are some, else everything.
    pub(crate) fn versioned(&self) -> BTreeMap<String, Tensor> {
        let all = self.tensors.iter();
        let versioned = all.filter(|(name, _)| self.base.is_none() || is_adapter(name));
        versioned.map(|(name, tensor)| (name.clone(), tensor.clone())).collect()
    }
}

/// Same names, same shapes.
pub(crate) fn check_names(
    old: &BTreeMap<String, Tensor>,
    new: &HashMap<String, Tensor>,
) -> Result<(), ModelError> {
    let missing: Vec<String> = old.keys().filter(|n| !new.contains_key(*n)).cloned().collect();
    if !missing.is_empty() {
        return Err(ModelError::MissingTensors { names: missing, expected: old.len() });
    }
    let mut unknown: Vec<String> = new.keys().filter(|n| !old.contains_key(*n)).cloned().collect();
    if !unknown.is_empty() {
        unknown.sort();
        return Err(ModelError::UnexpectedTensors { names: unknown });
    }
    match old.iter().find(|(name, tensor)| tensor.dims() != new[*name].dims()) {
        Some((name, tensor)) => Err(ModelError::Shape {
            name: name.clone(),
            expected: tensor.dims().to_vec(),
            got: new[name].dims().to_vec(),
        }),
        None => Ok(()),
    }
}
