//! The adapters of a policy in the layout of Hugging Face's `peft`.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use vrft_checkpoint::LoraConfig;
use vrft_checkpoint::{Adapter, SOFT_PROMPT, is_adapter};

use crate::ModelError;
use crate::checkpoint::{stand_ins, to_tensor};
use crate::names::Names;
use crate::quantized::Quantized;

/// The factors in an adapter directory under this policy's names, in f32.
pub(crate) fn read_adapter(
    dir: &Path,
    names: Names,
    device: &Device,
) -> Result<BTreeMap<String, Tensor>, ModelError> {
    let tensors =
        Adapter::read_tensors(dir, |name, view| to_tensor(name, &view, DType::F32, device))?;
    Ok(tensors.into_iter().map(|(name, tensor)| (names.local(&name), tensor)).collect())
}

/// Stand-ins for the factors in an adapter directory under this policy's names: only headers are read.
pub(crate) fn adapter_shapes(
    dir: &Path,
    names: Names,
) -> Result<BTreeMap<String, Tensor>, ModelError> {
    let shapes = Adapter::read_tensors(dir, |_, view| Ok::<_, ModelError>(view.shape().to_vec()))?;
    stand_ins(&shapes.into_iter().map(|(name, shape)| (names.local(&name), shape)).collect())
}

/// Writes the directory of a soft prompt for the checkpoint in `base`; `tensors` are all of the policy.
pub(crate) fn write_soft_prompt(
    dir: &Path,
    n: usize,
    base: &Path,
    tensors: &BTreeMap<String, Tensor>,
) -> Result<(), ModelError> {
    let missing =
        || ModelError::MissingTensors { names: vec![SOFT_PROMPT.to_owned()], expected: 1 };
    let prompt = tensors.get(SOFT_PROMPT).ok_or_else(missing)?;
    Ok(Adapter::of_prompt(n, base).write_prompt(dir, prompt)?)
}

/// Writes an adapter directory for the checkpoint in `base`; `tensors` and `quantized` are all of the policy.
pub(crate) fn write_adapter(
    dir: &Path,
    lora: &LoraConfig,
    base: &Path,
    tensors: &BTreeMap<String, Tensor>,
    quantized: &Quantized,
    names: Names,
) -> Result<(), ModelError> {
    let (factors, others): (BTreeMap<_, _>, BTreeMap<_, _>) =
        tensors.iter().map(|(n, t)| (n.clone(), t.clone())).partition(|(name, _)| is_adapter(name));
    let is_adapted = |module: &str| {
        factors
            .keys()
            .any(|name| name.strip_prefix(module).is_some_and(|rest| rest.starts_with(".lora_")))
    };
    // peft has adapters for convolutions and tables too, and finds modules by the ends of their names alone.
    let matrices = others.iter().filter(|(_, tensor)| tensor.rank() >= 2).map(|(name, _)| name);
    let modules = matrices.chain(quantized.keys()).filter_map(|name| name.strip_suffix(".weight"));
    let alone = modules.filter(|module| !is_adapted(module));
    let alone: Vec<String> = alone.map(|module| names.module(module)).collect();
    let factors: BTreeMap<String, Tensor> =
        factors.into_iter().map(|(name, tensor)| (names.module(&name), tensor)).collect();
    Ok(Adapter::new(lora, base).write(dir, &factors, &alone)?)
}
