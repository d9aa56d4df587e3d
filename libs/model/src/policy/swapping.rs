//! Swapping in a new version of the weights: beside the present one, or into its memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError};

use candle_core::Tensor;

use super::Policy;
use crate::ModelError;
use crate::packing_for_gpu::GpuPacking;
use crate::quantized::Quantized;
use crate::shared::PackedBase;
use crate::weights::{Weights, check_names};

impl Policy {
    /// Swaps in a new version of [`Policy::tensors`], copied. Open sessions keep the version they started with,
    /// unless the policy is trainable: its variables change in place.
    ///
    /// # Errors
    /// A name that is missing or unknown, a shape that differs; the policy is unchanged then.
    pub fn set_weights(&self, tensors: &HashMap<String, Tensor>) -> Result<(), ModelError> {
        let copies = tensors.iter().map(|(name, tensor)| Ok((name.clone(), tensor.copy()?)));
        self.take_weights(copies.collect::<Result<_, ModelError>>()?)
    }

    /// As [`Policy::set_weights`], without a copy: nothing else may hold the tensors.
    ///
    /// # Errors
    /// As [`Policy::set_weights`].
    pub fn take_weights(&self, mut tensors: HashMap<String, Tensor>) -> Result<(), ModelError> {
        let old = self.weights();
        check_names(&old.versioned(), &tensors)?;
        let names = self.config.names(&old.tensors);
        let mut new = BTreeMap::new();
        for (name, old) in &old.tensors {
            let tensor = match tensors.remove(name) {
                Some(tensor) => {
                    let tensor = vrft_kernels::cast(&tensor.to_device(old.device())?, old.dtype())?;
                    let features = &self.caches.features;
                    if names.is_visual(name) && features.is_on() && differ(&tensor, old)? {
                        features.turn_off();
                    }
                    tensor
                }
                None => old.clone(),
            };
            new.insert(name.clone(), tensor.detach());
        }
        for (name, variable) in &self.variables {
            if let Some(tensor) = new.get_mut(name) {
                variable.set(tensor)?;
                *tensor = variable.as_detached_tensor();
            }
        }
        // The layers' own weights are as they were where adapters are all that differs.
        let packing = if self.lora.is_some() {
            old.packing.clone()
        } else if self.variables.is_empty() && old.quantized.is_empty() {
            GpuPacking::pack(
                &mut new,
                &mut Quantized::new(),
                names,
                &self.device,
                PackedBase::default(),
            )?
        } else {
            GpuPacking::default()
        };
        self.install(&old, new, packing)
    }

    /// Swaps in a new version whose values `read` reads into the memory of the present one, so that there are never two of them.
    /// `read` is given [`Policy::tensors`] and says whether it has read all of them.
    ///
    /// Returns false, and has changed nothing, where the memory of the present version is needed longer or is not the
    /// tensors' alone: by open sessions, variables, adapters, kept features of images, a GPU.
    ///
    /// # Errors
    /// Those of `read`. The weights are a mixture of two versions then, and the policy must not be used.
    pub fn overwrite_weights<E: From<ModelError>>(
        &self,
        read: impl FnOnce(&BTreeMap<String, Tensor>) -> Result<bool, E>,
    ) -> Result<bool, E> {
        if !self.can_be_overwritten() {
            return Ok(false);
        }
        let old = self.weights();
        if !read(&old.versioned())? {
            return Ok(false);
        }
        // What the old model has made of its weights is made again.
        self.install(&old, old.tensors.clone(), old.packing.clone())?;
        Ok(true)
    }

    /// Keeps no features of images from now on: for a policy whose tower is learned by another process, since every version
    /// sees anew then.
    pub fn expect_another_tower(&self) {
        self.caches.features.turn_off();
    }

    fn can_be_overwritten(&self) -> bool {
        let weights = self.weights();
        self.device.is_cpu()
            && self.variables.is_empty()
            && self.lora.is_none()
            && weights.quantized.is_empty()
            && !self.caches.features.is_on()
            && Arc::strong_count(&weights.model) == 1
    }

    /// Makes these tensors the policy's version.
    fn install(
        &self,
        old: &Weights,
        new: BTreeMap<String, Tensor>,
        packing: GpuPacking,
    ) -> Result<(), ModelError> {
        let lora = self.lora.as_ref().map(|(lora, _)| lora);
        let (variables, caches) = (&self.variables, &self.caches);
        let quantized = old.quantized.clone();
        let weights = Weights::new(
            &self.config,
            self.dtype,
            lora,
            new,
            quantized,
            variables,
            caches,
            packing,
        )?;
        *self.weights.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(weights);
        Ok(())
    }
}

/// Whether two tensors of one shape hold different numbers.
fn differ(a: &Tensor, b: &Tensor) -> Result<bool, ModelError> {
    Ok(a.ne(b)?.flatten_all()?.max(0)?.to_scalar::<u8>()? > 0)
}
