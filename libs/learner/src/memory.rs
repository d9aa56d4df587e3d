//! How much memory a run takes, before it runs.

use candle_core::DType;
use vrft_checkpoint::{Dtype, PolicyConfig, Quantization};
use vrft_model::{ModelConfig, ModelError};
use vrft_objective::config::LossConfig;
use vrft_plan::{Device, LearnerConfig, RolloutConfig};
use vrft_processor::EncodedPrompt;

use crate::moment::BLOCK;
use crate::{MicroBatchPlan, OptimizerConfig, OptimizerState};

const F32: usize = 4;
/// Program, tokenizer, buffers of products and messages: what a process with a policy has besides tensors.
const PROCESS: usize = 40 << 20;
/// What the driver keeps for a process that uses a GPU: context, kernels, cuBLAS and its workspace.
const GPU_PROCESS: usize = 600 << 20;

/// What one prompt brings along.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PromptSize {
    /// Tokens, those of images included.
    pub n_tokens: usize,
    /// Patches of its images.
    pub n_patches: usize,
    /// Numbers that these patches are made of.
    pub n_values: usize,
}

impl PromptSize {
    /// That of a prompt.
    pub fn of(prompt: &EncodedPrompt) -> Self {
        Self {
            n_tokens: prompt.token_ids.len(),
            n_patches: prompt.images.iter().map(|image| image.grid.n_patches()).sum(),
            n_values: prompt.images.iter().map(|image| image.pixels.len()).sum(),
        }
    }
}

/// The settings that decide how much memory a run takes.
#[derive(Debug, Clone, Copy)]
pub struct MemorySettings<'a> {
    /// Types, adapters, frozen parts.
    pub policy: &'a PolicyConfig,
    /// Number and length of the completions.
    pub rollout: &'a RolloutConfig,
    /// Size of a step and of its micro-batches.
    pub learner: &'a LearnerConfig,
    /// Type of the moments.
    pub optimizer: &'a OptimizerConfig,
    /// Whether there is a reference policy.
    pub loss: &'a LossConfig,
    /// True answers beside the sampled completions of each prompt, see [`vrft_objective::config::n_shown`].
    pub n_shown: usize,
    /// Rows of a batch of an evaluation.
    pub evaluation_rows: usize,
}

/// Bytes by what they are for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryEstimate {
    /// The learner's weights, and the reference policy's if it has its own.
    pub learner_weights: usize,
    /// One buffer for each trained weight.
    pub gradients: usize,
    /// Bytes of the optimizer's two moments.
    pub optimizer: usize,
    /// What the largest micro-batch keeps for its backward pass.
    pub activations: usize,
    /// Bytes of the rollout's weights.
    pub rollout_weights: usize,
    /// Keys and values of all prompts and completions of a step.
    pub cache: usize,
    /// The pictures of a step as the model reads them, where completions are sampled and where they are learned from.
    pub pictures: usize,
    /// A new version while it is being taken over.
    pub hand_over: usize,
    /// The frozen weights beside adapters, which processes on one GPU share.
    pub frozen: usize,
    /// Keys and values of one batch of an evaluation.
    pub evaluation_cache: usize,
}

/// Where the parts of a run compute.
#[derive(Debug, Clone, Copy)]
pub struct Devices {
    /// Where completions are sampled.
    pub rollout: Device,
    /// Where the policy learns.
    pub learner: Device,
    /// Where checkpoints are judged.
    pub evaluation: Device,
}

impl MemoryEstimate {
    /// Estimates the memory of a run with prompts of this size.
    ///
    /// # Errors
    /// A model that cannot be.
    pub fn new(
        config: &MemorySettings<'_>,
        model: &ModelConfig,
        prompt: PromptSize,
    ) -> Result<Self, ModelError> {
        let dtype = match config.policy.dtype {
            Dtype::F32 => DType::F32,
            Dtype::Bf16 => DType::BF16,
        };
        let (n_values, n_vision) = model.n_values()?;
        let n_adapters = adapter_values(config, model);
        let n_trained = match n_adapters {
            0 if config.policy.freeze_vision => n_values - n_vision,
            0 => n_values,
            n => n,
        };
        let (quantized, scratch) = Self::quantized(config, model, dtype)?;
        // Trained weights are f32 whatever the model computes in.
        let n_frozen = n_values + n_adapters - n_trained;
        let own = n_trained * F32 + n_frozen * dtype.size_in_bytes() - quantized;
        let has_reference = config.loss.needs_reference() && n_adapters == 0;
        let reference = if has_reference { n_values * dtype.size_in_bytes() } else { 0 };
        let rollout = &config.rollout;
        let group_size = rollout.largest_group();
        let n_completion_tokens = group_size * rollout.max_completion_tokens;
        let n_groups = (rollout.max_rows / group_size.max(1)).max(1);
        let n_cached_tokens =
            n_groups.min(config.learner.prompts_per_step) * (prompt.n_tokens + n_completion_tokens);
        let of_rollout = (n_values + n_adapters) * dtype.size_in_bytes() - quantized;
        let of_row = prompt.n_tokens + rollout.max_completion_tokens;
        Ok(Self {
            frozen: if n_adapters > 0 { n_values * dtype.size_in_bytes() - quantized } else { 0 },
            evaluation_cache: model.text.cache_bytes(config.evaluation_rows * of_row, dtype),
            learner_weights: own + reference,
            gradients: n_trained * F32,
            optimizer: optimizer(config.optimizer.state, n_trained),
            activations: activations(config, model, prompt, dtype) + scratch,
            rollout_weights: of_rollout,
            cache: model.text.cache_bytes(n_cached_tokens, dtype),
            pictures: 2 * config.learner.prompts_per_step * prompt.n_values * F32,
            hand_over: n_trained * dtype.size_in_bytes(),
        })
    }

    /// Bytes that weights of 4 bits save, and those of a layer that is made whole for a product.
    fn quantized(
        config: &MemorySettings<'_>,
        model: &ModelConfig,
        dtype: DType,
    ) -> Result<(usize, usize), ModelError> {
        if [config.policy.quantization, model.quantization] == [Quantization::None; 2] {
            return Ok((0, 0));
        }
        let (n, largest) = model.n_linear_values()?;
        // Half a byte a value; a factor of 64 values is a byte in main memory and four on a GPU.
        let of_four_bits = n / 2 + n.div_ceil(16);
        Ok((n * dtype.size_in_bytes() - of_four_bits, largest * (F32 + dtype.size_in_bytes())))
    }

    /// The most that all processes of a graph take together.
    pub fn of_graph(&self) -> usize {
        let of_step = self.activations + self.cache + self.pictures;
        self.steady() + of_step + self.hand_over + 2 * PROCESS
    }

    /// The most that one process takes which makes rollout and step in turn.
    pub fn of_one_process(&self) -> usize {
        self.steady() + self.activations.max(self.cache).max(self.hand_over) + PROCESS
    }

    /// The most that a GPU is asked for, and by which parts of the run; nothing where none computes on it.
    pub fn on_gpu(&self, gpu: usize, devices: Devices) -> Option<(usize, Vec<&'static str>)> {
        let learner = self.learner_weights + self.gradients + self.optimizer + self.activations;
        let parts = [
            ("rollout", devices.rollout, self.rollout_weights + self.cache + self.hand_over),
            ("learner", devices.learner, learner),
            ("evaluation", devices.evaluation, self.rollout_weights + self.evaluation_cache),
        ];
        let here = parts.into_iter().filter(|(_, device, _)| *device == Device::Cuda(gpu));
        let (names, bytes): (Vec<_>, Vec<_>) = here.map(|(name, _, bytes)| (name, bytes)).unzip();
        let shared = self.frozen * names.len().checked_sub(1)?;
        let all = bytes.iter().sum::<usize>() + names.len() * GPU_PROCESS;
        Some((all - shared, names))
    }

    fn steady(&self) -> usize {
        self.learner_weights + self.gradients + self.optimizer + self.rollout_weights
    }
}

/// Bytes of the optimizer's two moments.
fn optimizer(state: OptimizerState, n_trained: usize) -> usize {
    let of_one = match state {
        OptimizerState::F32 => n_trained * F32,
        OptimizerState::Bf16 => n_trained * DType::BF16.size_in_bytes(),
        OptimizerState::Int8 => n_trained + n_trained.div_ceil(BLOCK) * F32,
    };
    2 * of_one
}

/// The adapters' values, if they sit beside every linear layer of the language model; or those of a soft prompt.
fn adapter_values(config: &MemorySettings<'_>, model: &ModelConfig) -> usize {
    let text = &model.text;
    let (width, inner) = (text.hidden_size, text.intermediate_size);
    let of_heads = 2 * (width + text.q_width()) + 2 * (width + text.kv_width());
    let sides = of_heads + 3 * (width + inner);
    let of_prompt = config.policy.prompt_tuning.tokens * width;
    config.policy.lora.rank * sides * text.n_layers + of_prompt
}

fn activations(
    config: &MemorySettings<'_>,
    model: &ModelConfig,
    prompt: PromptSize,
    dtype: DType,
) -> usize {
    let (learner, rollout) = (&config.learner, &config.rollout);
    let group_size = rollout.largest_group() + config.n_shown;
    let length = rollout.max_completion_tokens;
    let plan = MicroBatchPlan::new(learner, prompt.n_tokens, group_size, length);
    let n_tokens = plan.largest;
    let n_patches = plan.groups_together * prompt.n_patches;
    let all = model.activation_bytes(n_tokens, n_patches, dtype);
    match learner.activation_mib {
        0 => all,
        mib => {
            let least = model.least_activation_bytes(n_tokens, n_patches, dtype);
            all.min((mib << 20) + least)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Settings {
        policy: PolicyConfig,
        rollout: RolloutConfig,
        learner: LearnerConfig,
        optimizer: OptimizerConfig,
        loss: LossConfig,
    }

    /// The `base` checkpoint of the speed comparison.
    fn model() -> ModelConfig {
        ModelConfig::from_json(
            r#"{"model_type": "qwen2_vl", "hidden_size": 512, "intermediate_size": 1536,
            "num_hidden_layers": 8, "num_attention_heads": 8, "num_key_value_heads": 2,
            "vocab_size": 8192, "tie_word_embeddings": true,
            "rope_scaling": {"type": "mrope", "mrope_section": [8, 12, 12]},
            "vision_config": {"depth": 6, "embed_dim": 256, "hidden_size": 512, "num_heads": 4,
                "mlp_ratio": 4, "patch_size": 14}}"#,
        )
        .unwrap()
    }

    fn estimate(change: impl Fn(&mut Settings)) -> MemoryEstimate {
        let mut config = Settings::default();
        config.learner.prompts_per_step = 1;
        config.rollout.max_completion_tokens = 64;
        change(&mut config);
        let prompt = PromptSize { n_tokens: 422, n_patches: 1024, n_values: 1024 * 1176 };
        let Settings { policy, rollout, learner, optimizer, loss } = &config;
        let (n_shown, evaluation_rows) = (0, 16);
        let settings =
            MemorySettings { policy, rollout, learner, optimizer, loss, n_shown, evaluation_rows };
        MemoryEstimate::new(&settings, &model(), prompt).unwrap()
    }

    /// Measured with `vrft bench`: 1300 MiB.
    #[test]
    fn the_base_case_takes_what_was_measured() {
        let mib = estimate(|_| ()).of_one_process() >> 20;
        assert!((1105..=1495).contains(&mib), "{mib}");
    }

    #[test]
    fn pictures_of_a_step_take_as_much_as_there_are_prompts() {
        let of = |n| estimate(|config| config.learner.prompts_per_step = n);
        assert_eq!(of(1).pictures, 2 * 1024 * 1176 * F32);
        assert_eq!(of(1000).pictures, 1000 * of(1).pictures);
        assert!(of(60_000).of_graph() > of(60_000).pictures);
    }

    #[test]
    fn a_budget_bounds_the_activations() {
        let all = estimate(|_| ()).activations;
        let some = estimate(|config| config.learner.activation_mib = 64).activations;
        assert!(some < all, "{some}, {all}");
    }

    #[test]
    fn splitting_groups_bounds_them_too_and_not_splitting_does_not() {
        let of = |max_tokens, split_groups| {
            let estimate = estimate(|config| {
                config.learner.max_tokens_per_micro_batch = max_tokens;
                config.learner.split_groups = split_groups;
            });
            estimate.activations
        };
        assert_eq!(of(512, false), of(4096, false));
        assert!(of(512, true) < of(4096, true));
    }

    #[test]
    fn narrow_moments_take_half_and_a_quarter() {
        let of = |state| estimate(|config| config.optimizer.state = state).optimizer as f64;
        let all = of(OptimizerState::F32);
        assert_eq!(of(OptimizerState::Bf16) / all, 0.5);
        assert!((of(OptimizerState::Int8) / all - 0.254).abs() < 1e-3);
    }

    #[test]
    fn four_bits_take_little_more_than_half_a_byte_a_value() {
        let of = |quantization| {
            estimate(|config| {
                config.policy.lora.rank = 8;
                config.policy.dtype = Dtype::Bf16;
                config.policy.quantization = quantization;
            })
        };
        let (all, few) = (of(Quantization::None), of(Quantization::Nf4));
        let (n, _) = model().n_linear_values().unwrap();
        let saved = (all.rollout_weights - few.rollout_weights) as f64;
        assert!((saved / n as f64 - (2.0 - 0.5625)).abs() < 1e-3, "{saved} bytes of {n} values");
    }

    #[test]
    fn a_gpu_holds_the_frozen_weights_once_beside_adapters() {
        let on = |device| Devices { rollout: device, learner: device, evaluation: Device::Cpu };
        let of =
            |rank, devices| estimate(|config| config.policy.lora.rank = rank).on_gpu(0, devices);
        let gpu = |rank| of(rank, on(Device::Cuda(0))).unwrap();
        assert_eq!(gpu(0).1, ["rollout", "learner"]);
        let alone = |rank, devices| of(rank, devices).unwrap().0;
        let rollout = Devices { learner: Device::Cpu, ..on(Device::Cuda(0)) };
        let learner = Devices { rollout: Device::Cuda(1), ..on(Device::Cuda(0)) };
        assert_eq!(gpu(0).0, alone(0, rollout) + alone(0, learner));
        let (n, _) = model().n_values().unwrap();
        assert_eq!(gpu(8).0, alone(8, rollout) + alone(8, learner) - n * F32);
        assert_eq!(of(8, on(Device::Cpu)), None);
    }

    #[test]
    fn adapters_need_no_reference_and_few_gradients() {
        let lora = estimate(|config| config.policy.lora.rank = 8);
        let full = estimate(|_| ());
        assert!(
            lora.learner_weights < full.learner_weights && lora.gradients < full.gradients / 10
        );
    }
}
