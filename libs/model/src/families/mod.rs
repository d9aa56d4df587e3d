//! The model families, as the model sees them: the shape of their parts, the names of their tensors, their towers.
//!
//! A family is chosen once, by the `model_type` of the checkpoint's `config.json`. What it has in common with others
//! (the decoder, adapters, caches, sessions) is outside and asks for it through [`Family`] and
//! [`TowerConfig`](crate::tower::TowerConfig). Its other half, which encodes prompts, is in `vrft-processor` under the
//! same name.

use std::fmt::Debug;

use vrft_checkpoint::{JsonFile, Keys, Quantization};

use crate::names::Layouts;
use crate::{ModelConfig, ModelError};

mod qwen2_5_vl;
mod qwen2_vl;
mod qwen3_vl;
mod smolvlm;

/// All model families that can be loaded.
const FAMILIES: [&dyn Family; 5] = [
    &qwen2_vl::Qwen2Vl,
    &qwen2_5_vl::Qwen25Vl,
    &qwen3_vl::Qwen3Vl,
    &smolvlm::SMOLVLM,
    &smolvlm::IDEFICS3,
];

/// What is special to one model family in the model.
pub(crate) trait Family: Debug + Sync {
    /// Its `model_type` in `config.json`.
    fn model_type(&self) -> &'static str;

    /// Reads the keys of `config.json`.
    fn config(&self, root: &Keys) -> Result<ModelConfig, ModelError>;

    /// The names of its parts.
    fn layouts(&self) -> &'static Layouts;
}

/// The configuration of a checkpoint, read by its family.
pub(crate) fn read_config(file: &JsonFile) -> Result<ModelConfig, ModelError> {
    let keys = file.keys();
    let names: Vec<&str> = FAMILIES.iter().map(|family| family.model_type()).collect();
    let name = keys.one_of("model_type", &names)?;
    match FAMILIES.into_iter().find(|family| Some(family.model_type()) == name) {
        Some(family) => {
            Ok(ModelConfig { quantization: stored_quantization(&keys)?, ..family.config(&keys)? })
        }
        None => Err(keys.error("model_type", names.join(" or "), "nothing").into()),
    }
}

/// How the weights are stored, as transformers writes it.
fn stored_quantization(root: &Keys) -> Result<Quantization, ModelError> {
    let keys = root.section("quantization_config");
    if !keys.is_there() {
        return Ok(Quantization::None);
    }
    keys.one_of("quant_method", &["bitsandbytes"])?;
    let is_in_4_bits = keys.flag("load_in_4bit")? == Some(true);
    keys.ensure(is_in_4_bits, "load_in_4bit", "true: of bitsandbytes, 4 bits are read", "false")?;
    keys.one_of("bnb_4bit_quant_type", &["nf4"])?;
    Ok(Quantization::Nf4)
}

#[cfg(test)]
mod tests;
