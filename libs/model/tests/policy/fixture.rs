//! The tiny checkpoint, its prompts and what transformers computed, from `tests/golden/make_golden.py`.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use candle_core::{DType, Device, Tensor};
use serde::Deserialize;
use tempfile::TempDir;
use vrft_model::{LoadOptions, PackedGroup, Policy};
use vrft_processor::EncodedPrompt;
use vrft_vision::{Grid, Patches};

/// One case of `prompts.json`.
#[derive(Debug, Deserialize)]
pub(crate) struct Case {
    images: Vec<String>,
    input_ids: Vec<u32>,
    positions: Vec<[u32; 3]>,
    pub(crate) completion_ids: Vec<Vec<u32>>,
    pub(crate) greedy_ids: Vec<u32>,
}

impl Case {
    /// The completions as the model takes them.
    pub(crate) fn completions(&self) -> Vec<&[u32]> {
        self.completion_ids.iter().map(Vec::as_slice).collect()
    }
}

/// Everything that transformers computed.
pub(crate) struct Golden {
    pub(crate) cases: BTreeMap<String, Case>,
    pub(crate) tensors: HashMap<String, Tensor>,
}

impl Golden {
    pub(crate) fn load() -> Self {
        let cases = std::fs::read_to_string(golden_dir().join("prompts.json")).expect("prompts");
        let tensors =
            candle_core::safetensors::load(golden_dir().join("golden.safetensors"), &Device::Cpu);
        Self {
            cases: serde_json::from_str(&cases).expect("JSON"),
            tensors: tensors.expect("golden tensors"),
        }
    }

    /// The prompt of a case, with the patches that transformers made.
    pub(crate) fn prompt(&self, case: &str) -> EncodedPrompt {
        let case = &self.cases[case];
        let images = case.images.iter().map(|name| {
            let (h, w) = match name.as_str() {
                "wide" => (4, 8),
                "tall" => (6, 4),
                _ => (4, 6),
            };
            let pixels = flat(&self.tensors[&format!("patches.{name}")]);
            Patches::whole(pixels, Grid { t: 1, h, w })
        });
        EncodedPrompt {
            token_ids: case.input_ids.clone(),
            positions: case.positions.clone(),
            images: images.collect(),
        }
    }
}

/// Where the fixtures lie.
pub(crate) fn golden_dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// The adapter in a folder that peft wrote, with the path of its base filled in.
pub(crate) fn adapter_copy(folder: &str, base: &str) -> TempDir {
    let dir = TempDir::new().expect("temporary folder");
    let from = golden_dir().join(folder);
    let config = std::fs::read_to_string(from.join("adapter_config.json")).expect("adapter");
    let path = serde_json::to_string(&golden_dir().join(base)).expect("JSON");
    let config = config.replace(&format!("\"{base}\""), &path);
    std::fs::write(dir.path().join("adapter_config.json"), config).expect("writes");
    let tensors = "adapter_model.safetensors";
    std::fs::copy(from.join(tensors), dir.path().join(tensors)).expect("copies");
    dir
}

/// The tiny checkpoint in f32.
pub(crate) fn load(trainable: bool) -> Policy {
    Policy::load(&golden_dir().join("qwen2_vl"), &options(trainable)).expect("the checkpoint loads")
}

pub(crate) fn options(trainable: bool) -> LoadOptions {
    LoadOptions {
        dtype: DType::F32,
        device: Device::Cpu,
        trainable,
        quantization: vrft_checkpoint::Quantization::None,
        freeze_vision: false,
        lora: None,
        prompt_tuning: None,
        feature_cache_mib: 0,
        prefix_cache_mib: 0,
    }
}

pub(crate) fn flat(tensor: &Tensor) -> Vec<f32> {
    let tensor = tensor.to_dtype(DType::F32).and_then(|t| t.flatten_all());
    tensor.and_then(|t| t.to_vec1()).expect("a tensor of floats")
}

/// Mean negative logprob of all completions, and the gradient of every variable, zeros where there is none.
#[track_caller]
pub(crate) fn loss_and_grads(
    policy: &Policy,
    groups: &[PackedGroup],
) -> (f32, BTreeMap<String, Tensor>) {
    let (loss, grads) = recorded(policy, groups, usize::MAX);
    // The same if every layer is computed again in the backward pass.
    let (_, again) = recorded(policy, groups, 0);
    for (name, grad) in &grads {
        assert!(difference(grad, &again[name]) == 0.0, "gradient of {name} when computed again");
    }
    (loss, grads)
}

/// The same with so many bytes of activations kept.
fn recorded(
    policy: &Policy,
    groups: &[PackedGroup],
    budget: usize,
) -> (f32, BTreeMap<String, Tensor>) {
    let pass = policy.training_pass(groups, 1.0, None, budget, &[]).expect("a forward");
    let logprobs = pass.tokens.logprobs.clone();
    let loss = logprobs.mean_all().and_then(|mean| mean.neg()).expect("a loss");
    let n = logprobs.elem_count();
    let slopes = Tensor::full(-1.0 / n as f32, n, &Device::Cpu).expect("a gradient");
    let mut gradients = vrft_kernels::Gradients::new(policy.backend());
    pass.backward(&slopes, None, &mut gradients).expect("a backward");
    let of = |(name, variable): (&String, &candle_core::Var)| {
        let values = gradients.get(variable).map(<[f32]>::to_vec);
        let values = values.unwrap_or_else(|| vec![0.0; variable.elem_count()]);
        let grad = Tensor::from_vec(values, variable.shape(), &Device::Cpu).expect("a gradient");
        (name.clone(), grad)
    };
    let grads = policy.variables().iter().map(of).collect();
    (loss.to_scalar().expect("a number"), grads)
}

/// Largest absolute difference.
#[track_caller]
pub(crate) fn difference(a: &Tensor, b: &Tensor) -> f32 {
    assert_eq!(a.dims(), b.dims());
    flat(a).iter().zip(flat(b)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Length of the difference as a share of the length of `b`.
#[track_caller]
pub(crate) fn relative_difference(a: &Tensor, b: &Tensor) -> f32 {
    assert_eq!(a.dims(), b.dims());
    let norm = |values: &mut dyn Iterator<Item = f32>| values.map(|x| x * x).sum::<f32>().sqrt();
    let (a, b) = (flat(a), flat(b));
    norm(&mut a.iter().zip(&b).map(|(a, b)| a - b)) / norm(&mut b.iter().copied())
}
