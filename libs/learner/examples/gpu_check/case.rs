//! Policies, prompts and groups.

use std::path::Path;

use candle_core::{DType, Device};
use vrft_checkpoint::{LoraConfig, Quantization, TargetModules};
use vrft_learner::{
    Learner, OptimizerConfig, OptimizerState, TrainCompletion, TrainGroup, TrainSettings,
};
use vrft_model::{LoadOptions, Policy, SharedWeights};
use vrft_objective::config::LossConfig;
use vrft_plan::LearnerConfig;
use vrft_processor::{EncodedPrompt, Processor};
use vrft_rollout::{Completion, Sampling};

pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// The first GPU.
pub(crate) fn gpu() -> Result<Device> {
    Ok(vrft_model::open_device("gpu_check", vrft_plan::Device::Cuda(0))?)
}

/// How a policy is loaded.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) dtype: DType,
    pub(crate) lora: bool,
    /// The language model's linear layers in 4 bits.
    pub(crate) quantized: bool,
    pub(crate) trainable: bool,
}

pub(crate) fn load(checkpoint: &Path, device: &Device, kind: Kind) -> Result<Policy> {
    load_shared(checkpoint, device, kind, None)
}

/// As [`load`]; frozen weights may be those of another process.
pub(crate) fn load_shared(
    checkpoint: &Path,
    device: &Device,
    kind: Kind,
    shared: Option<&SharedWeights>,
) -> Result<Policy> {
    let names = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];
    let lora = LoraConfig {
        rank: 16,
        alpha: 32.0,
        target_modules: TargetModules::Names(names.map(String::from).to_vec()),
        ..LoraConfig::default()
    };
    let options = LoadOptions {
        dtype: kind.dtype,
        device: device.clone(),
        trainable: kind.trainable,
        quantization: if kind.quantized { Quantization::Nf4 } else { Quantization::None },
        freeze_vision: false,
        lora: kind.lora.then_some(lora),
        prompt_tuning: None,
        feature_cache_mib: 0,
        prefix_cache_mib: 0,
    };
    Ok(Policy::load_shared(checkpoint, None, &options, shared)?)
}

pub(crate) fn prompts(
    processor: &Processor,
    image: &Path,
    n_prompts: usize,
) -> Result<Vec<EncodedPrompt>> {
    let image = std::fs::read(image)?;
    let encode = |i| Ok(processor.encode(None, &format!("What is in picture {i}?"), &[&image])?);
    (0..n_prompts).map(encode).collect()
}

/// Completions of exactly so many tokens.
pub(crate) fn sampling(n_tokens: usize, temperature: f64) -> Sampling {
    let greedy = Sampling::greedy(n_tokens, Vec::new());
    Sampling { min_tokens: n_tokens, temperature, ..greedy }
}

pub(crate) fn sample(
    policy: &Policy,
    processor: &Processor,
    prompts: &[EncodedPrompt],
    group_size: usize,
    sampling: &Sampling,
) -> Result<Vec<Vec<Completion>>> {
    let prompts: Vec<&EncodedPrompt> = prompts.iter().collect();
    let seed = |prompt, completion| (1000 * prompt + completion) as u64;
    Ok(vrft_rollout::generate(policy, processor, &prompts, group_size, sampling, &seed)?)
}

/// The completions with advantages that take turns.
pub(crate) fn groups(prompts: &[EncodedPrompt], sampled: &[Vec<Completion>]) -> Vec<TrainGroup> {
    let group = |(idx, (prompt, completions)): (usize, (&EncodedPrompt, &Vec<Completion>))| {
        let completion = |(i, completion): (usize, &Completion)| TrainCompletion {
            token_ids: completion.token_ids.clone(),
            old_logprobs: completion.logprobs.clone(),
            advantage: if i % 2 == 0 { 1.0 } else { -0.5 },
            truncated: false,
            is_scored: true,
            origin: vrft_learner::Origin::Sampled,
            inserted: vec![],
            first_turn: None,
        };
        TrainGroup {
            prompt_id: idx as u64,
            hinted: None,
            prompt: prompt.clone(),
            completions: completions.iter().enumerate().map(completion).collect(),
        }
    };
    prompts.iter().zip(sampled).enumerate().map(group).collect()
}

pub(crate) fn learner(policy: Policy, state: OptimizerState) -> Result<Learner> {
    let optimizer = OptimizerConfig { learning_rate: 1e-4, state, ..OptimizerConfig::default() };
    let learner = LearnerConfig {
        steps: 10,
        // A prompt at a time.
        max_tokens_per_micro_batch: 2048,
        ..LearnerConfig::default()
    };
    let loss = LossConfig { kl_coef: 0.0, ..LossConfig::default() };
    let settings = TrainSettings {
        optimizer: &optimizer,
        loss: &loss,
        learner: &learner,
        temperature: 1.0,
        max_completion_tokens: 1 << 10,
    };
    Ok(Learner::new(policy, None, &settings)?)
}
