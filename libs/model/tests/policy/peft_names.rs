//! The tensors of adapters of every linear layer, of tower and language model, named and shaped as `peft` does for each
//! family. `tests/golden/check_adapters.py` wrote the fixture, and has opened ours in `peft` and peft's here.

use std::collections::{BTreeMap, HashMap};

use candle_core::{DType, Device, Tensor};
use tempfile::TempDir;
use vrft_checkpoint::{ALL_LINEAR, LoraConfig, TargetModules};
use vrft_model::{LoadOptions, Policy};

use crate::fixture::{golden_dir, options};

type Shapes = BTreeMap<String, Vec<usize>>;

fn of_peft() -> BTreeMap<String, Shapes> {
    let text = std::fs::read_to_string(golden_dir().join("adapter_names.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The adapter of every linear layer of a checkpoint, as it is saved here.
fn saved(folder: &str) -> TempDir {
    let target_modules = TargetModules::Pattern(ALL_LINEAR.into());
    let lora = LoraConfig { rank: 2, target_modules, vision: true, ..LoraConfig::default() };
    let options = LoadOptions { lora: Some(lora), ..options(true) };
    let dir = TempDir::new().unwrap();
    Policy::load(&golden_dir().join(folder), &options).unwrap().save(dir.path()).unwrap();
    dir
}

#[test]
fn what_is_saved_for_each_family_has_the_names_and_shapes_of_peft() {
    for (folder, expected) in of_peft() {
        let dir = saved(&folder);
        let path = dir.path().join("adapter_model.safetensors");
        let tensors = candle_core::safetensors::load(path, &Device::Cpu).unwrap();
        let shapes: Shapes =
            tensors.into_iter().map(|(name, tensor)| (name, tensor.dims().to_vec())).collect();
        assert_eq!(shapes, expected, "{folder}");
    }
}

#[test]
fn what_peft_saves_for_each_family_is_opened() {
    for (folder, shapes) in of_peft() {
        let dir = saved(&folder);
        let zeros = |(name, shape): (String, Vec<usize>)| {
            (name, Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap())
        };
        let tensors: HashMap<String, Tensor> = shapes.into_iter().map(zeros).collect();
        let path = dir.path().join("adapter_model.safetensors");
        candle_core::safetensors::save(&tensors, path).unwrap();
        let policy = Policy::load(dir.path(), &options(true)).unwrap();
        assert_eq!(policy.variables().len(), tensors.len(), "{folder}");
    }
}
