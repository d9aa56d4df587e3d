//! A policy as files: checkpoints, adapters, weights of 4 bits, and adapters merged into their base.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use vrft_checkpoint::{Adapter, TensorFiles};

use super::Policy;
use crate::lora::Beside;
use crate::peft::{read_adapter, write_adapter, write_soft_prompt};
use crate::quantized::to_tensors;
use crate::{ModelError, checkpoint};

impl Policy {
    /// Writes a directory that [`Policy::load`], transformers and `peft` open: a checkpoint, or an adapter if the
    /// policy has one; with the tokenizer and processor files of the checkpoint that it was loaded from.
    ///
    /// # Errors
    /// A file that cannot be read or written.
    pub fn save(&self, dir: &Path) -> Result<(), ModelError> {
        let tensors = self.tensors();
        match &self.lora {
            Some((_, Beside::SoftPrompt(n))) => {
                write_soft_prompt(dir, *n, &self.source, &self.weights().tensors)
            }
            Some((_, Beside::LowRank(config))) => {
                let weights = self.weights();
                let names = self.config.names(&weights.tensors);
                let (tensors, quantized) = (&weights.tensors, &weights.quantized);
                write_adapter(dir, config, &self.source, tensors, quantized, names)
            }
            None if self.weights().quantized.is_empty() => {
                Ok(vrft_checkpoint::write_checkpoint(dir, &tensors, &self.source)?)
            }
            None => self.save_quantized(dir, tensors),
        }
    }

    /// Writes the checkpoint of a policy with weights of 4 bits.
    fn save_quantized(
        &self,
        dir: &Path,
        mut tensors: BTreeMap<String, Tensor>,
    ) -> Result<(), ModelError> {
        let weights = self.weights();
        let names = self.config.names(&weights.tensors);
        for (name, matrix) in weights.quantized.iter() {
            tensors.extend(to_tensors(name, matrix, self.dtype)?);
        }
        let is_of_tower = |name: &String| names.is_visual(name);
        let others = if weights.quantized.keys().any(is_of_tower) {
            vec![names.head().to_owned()]
        } else {
            names.beside_the_layers()
        };
        Ok(vrft_checkpoint::write_nf4_checkpoint(dir, &tensors, &self.source, &others)?)
    }

    /// Takes over what [`Policy::save`] of the same kind of policy wrote.
    ///
    /// # Errors
    /// A file that is absent or damaged, tensors of another policy.
    pub fn restore(&self, dir: &Path) -> Result<(), ModelError> {
        let device = Device::Cpu;
        let names = self.config.names(&self.weights().tensors);
        let tensors = if Adapter::is_in(dir) {
            read_adapter(dir, names, &device)?
        } else {
            checkpoint::read_tensors(&TensorFiles::open(dir)?, DType::F32, &device)?
        };
        self.set_weights(&tensors.into_iter().collect())
    }

    /// Writes a checkpoint directory with the adapters added to the weights that they stand beside: all in `dtype`, or
    /// without one each in the type that it has in the base.
    ///
    /// # Errors
    /// A policy without adapters, a file that cannot be read or written.
    pub fn save_merged(&self, dir: &Path, dtype: Option<DType>) -> Result<(), ModelError> {
        let (lora, n_soft) = match &self.lora {
            Some((lora, Beside::LowRank(_))) => (lora, None),
            Some((lora, Beside::SoftPrompt(n))) => (lora, Some(n)),
            None => return Err(ModelError::input("policy to merge", "one with adapters", "none")),
        };
        if let Some(n) = n_soft {
            let expected = "one with low-rank adapters";
            let got = format!(
                "a soft prompt of {n} vectors, which no weight can hold: use it as it is, beside its base"
            );
            return Err(ModelError::input("policy to merge", expected, got));
        }
        let stored = checkpoint::stored_dtypes(&TensorFiles::open(&self.source)?)?;
        let of = |name: &str| dtype.or(stored.get(name).copied()).unwrap_or(DType::F32);
        let weights = self.weights();
        let merged = lora.merge(&weights.tensors, &weights.quantized, of)?;
        Ok(vrft_checkpoint::write_checkpoint(dir, &merged, &self.source)?)
    }
}
