//! The files of a checkpoint, opened and compared with the model before a weight is read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use vrft_checkpoint::{
    Adapter, CheckpointError, PolicyConfig, Quantization, SOFT_PROMPT, TensorFiles,
};

use crate::lora::{Beside, Lora, adapted_layers, linear_module};
use crate::model::Model;
use crate::peft::adapter_shapes;
use crate::policy::beside;
use crate::quantized::Quantized;
use crate::{LoadOptions, ModelConfig, ModelError, adapted, checkpoint, soft_prompt};

/// Opens the files of a checkpoint, or of an adapter and its base, and compares names, shapes and sizes with the model that
/// `config.json` declares; no weight is read.
///
/// # Errors
/// As [`Policy::load`](crate::Policy::load).
pub fn check_checkpoint(dir: &Path, base: Option<&Path>) -> Result<(), ModelError> {
    Opened::open(dir, base, DType::F32).map(drop)
}

/// The same, and reads every weight that the model takes, of an adapter too; none is kept.
///
/// # Errors
/// As [`Policy::load`](crate::Policy::load): the first tensor whose numbers are not all finite among them.
pub fn check_weights(dir: &Path, base: Option<&Path>) -> Result<(), ModelError> {
    let Opened { adapter, files, used, .. } = Opened::open(dir, base, DType::F32)?;
    files.read_floats(|name, view| {
        if used.contains(name) { checkpoint::check_finite(name, &view) } else { Ok(()) }
    })?;
    if adapter.is_some() {
        Adapter::read_tensors(dir, |name, view| checkpoint::check_finite(name, &view))?;
    }
    Ok(())
}

/// The same as [`check_checkpoint`], and compares it with what is to be learned beside it: what a learner refuses when it starts. No weight is read.
///
/// # Errors
/// As [`Policy::load`](crate::Policy::load) of the policy that `config` describes.
pub fn check_policy(config: &PolicyConfig) -> Result<(), ModelError> {
    let options = LoadOptions::new(config, Device::Cpu, true);
    let Opened { adapter, config: model, files, used, .. } =
        Opened::open(&config.path, config.base.as_deref(), options.dtype)?;
    let lora = beside(adapter.as_ref(), &options)?;
    let mut shapes = files.shapes();
    shapes.retain(|name, _| used.contains(name));
    let names = model.names(&shapes);
    if lora.is_none() && model.quantization != Quantization::None {
        return Err(ModelError::not_trained_in_four_bits());
    }
    if adapter.is_some() {
        return Ok(());
    }
    if let Some(lora) = &options.lora {
        let matrices = shapes.iter().filter(|(_, shape)| shape.len() == 2);
        let layers = matrices.filter_map(|(name, _)| linear_module(name, names));
        adapted_layers(lora, layers, names)?;
    }
    match &options.prompt_tuning {
        Some(prompt) => soft_prompt::check(prompt, &shapes, names),
        None => Ok(()),
    }
}

/// Whether the file of a soft prompt has the one tensor that its settings promise.
fn check_soft_prompt(
    dir: &Path,
    n: usize,
    tensors: &BTreeMap<String, Tensor>,
) -> Result<(), ModelError> {
    let found = tensors.get(SOFT_PROMPT).map(|prompt| prompt.dims()[0]);
    if found == Some(n) && tensors.len() == 1 {
        return Ok(());
    }
    let names: Vec<&String> = tensors.keys().collect();
    let message = match found {
        Some(got) if got != n => {
            format!("{SOFT_PROMPT} has {got} vectors, num_virtual_tokens is {n}")
        }
        _ => format!("a soft prompt has the tensor {SOFT_PROMPT} and no other, got {names:?}"),
    };
    Err(CheckpointError::damaged(&Adapter::tensors_in(dir), message).into())
}

/// The files of a checkpoint whose headers are those of the model.
pub(crate) struct Opened {
    pub(crate) adapter: Option<Adapter>,
    /// Folder of the whole model.
    pub(crate) source: PathBuf,
    pub(crate) config: ModelConfig,
    pub(crate) files: TensorFiles,
    /// The tensors of the files that the model takes.
    pub(crate) used: BTreeSet<String>,
}

impl Opened {
    /// Against the headers, before a tensor is read: the configuration may be that of another model.
    pub(crate) fn open(dir: &Path, base: Option<&Path>, dtype: DType) -> Result<Self, ModelError> {
        let adapter = Adapter::read_beside(dir, base)?;
        let source = adapter.as_ref().map_or(dir, Adapter::base).to_owned();
        let config = ModelConfig::from_file(&vrft_checkpoint::config(&source)?)?;
        let files = TensorFiles::open(&source)?;
        // The shape of a matrix of 4-bit numbers is that of the numbers.
        let none = Quantized::new();
        let mut stand_ins = checkpoint::stand_ins(&files.shapes())?;
        let (_, used) = Model::new(&config, &stand_ins, &none, None, dtype, None)?;
        if let Some(adapter) = &adapter {
            stand_ins.retain(|name, _| used.contains(name));
            let names = config.names(&stand_ins);
            let factors = adapter_shapes(dir, names)?;
            let lora = match adapter.prompt() {
                Some(n) => {
                    check_soft_prompt(dir, n, &factors)?;
                    Beside::SoftPrompt(n).lora()
                }
                None => {
                    adapted::check(dir, adapter, &factors, &stand_ins, names)?;
                    Lora::new(&adapter.lora(None)?)
                }
            };
            stand_ins.extend(factors);
            Model::new(&config, &stand_ins, &none, Some(&lora), dtype, None)?;
        }
        Ok(Self { adapter, source, config, files, used })
    }
}
