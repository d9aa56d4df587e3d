//! The tiny checkpoint of the policy crate, and batches for it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use vrft_checkpoint::LoraConfig;
use vrft_learner::{
    Learner, OptimizerConfig, Schedule, TrainCompletion, TrainGroup, TrainSettings,
};
use vrft_model::{LoadOptions, PackedGroup, Policy};
use vrft_objective::config::LossConfig;
use vrft_plan::LearnerConfig;
use vrft_processor::{EncodedPrompt, Processor};

/// The checkpoint directory: two layers of width 64, a vision tower of two blocks.
pub(crate) fn checkpoint_dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../model/tests/golden/qwen2_vl")
}

/// All weights on the CPU as they are: neither quantized nor adapted, and nothing cached.
pub(crate) fn options(dtype: DType, trainable: bool) -> LoadOptions {
    LoadOptions {
        dtype,
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

pub(crate) fn load_from(dir: &Path, dtype: DType, trainable: bool) -> Policy {
    Policy::load(dir, &options(dtype, trainable)).expect("the checkpoint loads")
}

/// Trainable, with adapters that have learned something already: neither of their factors is zero.
pub(crate) fn load_with_adapters(lora: &LoraConfig) -> Policy {
    let options = LoadOptions { lora: Some(lora.clone()), ..options(DType::F32, true) };
    let policy = Policy::load(&checkpoint_dir(), &options).expect("the checkpoint loads");
    for (name, variable) in policy.variables() {
        let value = |i: usize| ((i * 7 + name.len()) % 11) as f32 / 200.0;
        let values: Vec<f32> = (0..variable.elem_count()).map(value).collect();
        let value = Tensor::from_vec(values, variable.shape(), variable.device());
        value.and_then(|value| variable.set(&value)).expect("a value");
    }
    policy
}

pub(crate) fn load(trainable: bool) -> Policy {
    load_from(&checkpoint_dir(), DType::F32, trainable)
}

/// Everything that a learner is made of, with a learning rate that shows after one step.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) optimizer: OptimizerConfig,
    pub(crate) loss: LossConfig,
    pub(crate) learner: LearnerConfig,
    pub(crate) temperature: f64,
}

impl Default for Setup {
    fn default() -> Self {
        let optimizer = OptimizerConfig {
            learning_rate: 1e-4,
            schedule: Schedule::Linear,
            weight_decay: 0.01,
            ..OptimizerConfig::default()
        };
        let learner = LearnerConfig { steps: 4, ..LearnerConfig::default() };
        Self { optimizer, loss: LossConfig::default(), learner, temperature: 0.9 }
    }
}

impl Setup {
    /// Without a reference policy.
    pub(crate) fn without_kl() -> Self {
        Self { loss: LossConfig { kl_coef: 0.0, ..LossConfig::default() }, ..Self::default() }
    }

    pub(crate) fn learner(&self) -> Learner {
        self.learner_of(load(true))
    }

    pub(crate) fn learner_of(&self, policy: Policy) -> Learner {
        let needs_reference = self.loss.needs_reference() && !policy.has_adapters();
        let reference = needs_reference.then(|| load(false).with_backend(policy.backend()));
        Learner::new(policy, reference, &self.settings()).expect("a learner")
    }

    pub(crate) fn settings(&self) -> TrainSettings<'_> {
        let Self { optimizer, loss, learner, temperature } = self;
        let temperature = *temperature;
        let max_completion_tokens = 16;
        TrainSettings { optimizer, loss, learner, temperature, max_completion_tokens }
    }
}

/// Three prompts: with one image, with two, with none.
pub(crate) fn prompts() -> [EncodedPrompt; 3] {
    let processor = Processor::load(&checkpoint_dir()).expect("a processor");
    let image = |name: &str| {
        let path = checkpoint_dir().join("../images").join(name);
        std::fs::read(path).expect("an image")
    };
    let (wide, tall, near) = (image("wide.png"), image("tall.png"), image("near.png"));
    let encode = |text: &str, images: &[&[u8]]| {
        processor.encode(None, text, images).expect("a prompt that fits")
    };
    [
        encode("Where is the cat?", &[&wide]),
        encode("Which one?", &[&tall, &near]),
        encode("2 + 2 = ?", &[]),
    ]
}

/// A completion per advantage for each prompt, sampled by the policy as it is loaded.
pub(crate) fn groups(advantages: &[&[f32]]) -> Vec<TrainGroup> {
    let sampler = load(false);
    let group = |(idx, (prompt, advantages)): (usize, (EncodedPrompt, &&[f32]))| TrainGroup {
        prompt_id: idx as u64,
        hinted: None,
        completions: completions(&sampler, &prompt, idx, advantages),
        prompt,
    };
    prompts().into_iter().zip(advantages).enumerate().map(group).collect()
}

fn completions(
    sampler: &Policy,
    prompt: &EncodedPrompt,
    prompt_idx: usize,
    advantages: &[f32],
) -> Vec<TrainCompletion> {
    let complete = |(idx, advantage): (usize, &f32)| {
        // Any tokens do; the lengths differ so that weights do.
        let n_tokens = 3 + 2 * idx + prompt_idx;
        let token_ids: Vec<u32> =
            (0..n_tokens).map(|t| 20 + (7 * t + 31 * idx + 53 * prompt_idx) as u32 % 250).collect();
        let packed = PackedGroup { prompt, completions: &[&token_ids], inserted: &[] };
        let tokens = sampler.logprobs(&[packed], Setup::default().temperature).expect("logprobs");
        let old_logprobs = tokens.logprobs.to_vec1().expect("floats");
        TrainCompletion {
            token_ids,
            old_logprobs,
            advantage: *advantage,
            truncated: false,
            is_scored: true,
            origin: vrft_learner::Origin::Sampled,
            inserted: vec![],
            first_turn: None,
        }
    };
    advantages.iter().enumerate().map(complete).collect()
}

/// The batch that most tests use: three groups of four.
pub(crate) fn batch() -> Vec<TrainGroup> {
    groups(&[&[1.0, -0.5, 0.3, -0.8], &[-1.0, 0.5, 0.9, -0.4], &[0.2, -0.2, 0.7, -0.7]])
}

/// All weights as numbers.
pub(crate) fn weights(policy: &Policy) -> BTreeMap<String, Vec<f32>> {
    let numbers = |tensor: &candle_core::Tensor| {
        let flat = tensor.to_dtype(DType::F32).and_then(|t| t.flatten_all()?.to_vec1());
        flat.expect("a tensor of floats")
    };
    policy.tensors().iter().map(|(name, tensor)| (name.clone(), numbers(tensor))).collect()
}

/// Largest difference between two sets of weights.
pub(crate) fn distance(a: &BTreeMap<String, Vec<f32>>, b: &BTreeMap<String, Vec<f32>>) -> f32 {
    let values = |weights: &BTreeMap<String, Vec<f32>>| -> Vec<f32> {
        weights.values().flatten().copied().collect()
    };
    values(a).iter().zip(values(b)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}
