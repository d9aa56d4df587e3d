//! Optimizer and the learner's loop.

use serde::{Deserialize, Serialize};

use crate::Device;

/// AdamW and its schedule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OptimizerConfig {
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Shape after the warm-up.
    pub schedule: Schedule,
    /// Steps of linear rise from 0.
    pub warmup_steps: u64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Gradients are scaled down to this global norm; 0 for no clipping.
    pub max_grad_norm: f64,
    /// Type in which both moments are kept between steps.
    pub state: OptimizerState,
}

/// Type of the optimizer's moments.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerState {
    /// 8 bytes for each trained value.
    #[default]
    F32,
    /// 4 bytes, rounded by chance, so that small changes are not lost on average.
    Bf16,
    /// 2 bytes: 8 bits each with a scale for every 256 ([arXiv 2110.02861](https://arxiv.org/abs/2110.02861)).
    Int8,
}

/// Shape of the learning rate over the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// Stays at the peak.
    Constant,
    /// Straight line to 0, as in the official runs of Visual-RFT.
    Linear,
    /// Half a cosine to 0.
    Cosine,
}

/// The learner's loop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LearnerConfig {
    /// Optimizer steps of the run.
    pub steps: u64,
    /// Prompts of one optimizer step, each with a whole group.
    pub prompts_per_step: usize,
    /// Prompt batches in flight: 1 is strictly on-policy, 2 lets the next rollout overlap the step.
    pub window: usize,
    /// Updates made from the completions of one step; above 1 the importance ratio leaves 1 and clipping acts.
    pub iterations: usize,
    /// Times that a step may ask for further prompts in place of those whose completions all did equally well
    /// (dynamic sampling, DAPO, arXiv 2503.14476); 0 for never. Needs a window of 1.
    pub refills: usize,
    /// Tokens whose activations may be alive at once; larger steps are split and accumulated.
    pub max_tokens_per_micro_batch: usize,
    /// Memory for the activations of the vision tower's blocks and the language model's layers, in MiB; those beyond
    /// it are computed a second time on the way back. 0 for no limit.
    pub activation_mib: usize,
    /// Steps between checkpoints; 0 for the last step only.
    pub checkpoint_every: u64,
    /// Newest checkpoints kept.
    pub keep_checkpoints: usize,
    /// Where the learner computes, and the baseline's too.
    pub device: Device,
}

/// The supervised baseline.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SftConfig {
    /// Text put before the answer of a sample, so that demonstrations have the format that is asked for.
    pub answer_prefix: String,
    /// Its optimizer, tuned on its own.
    pub optimizer: OptimizerConfig,
}

impl LearnerConfig {
    /// The step, counted from 1, that a prompt of the run belongs to.
    pub fn step_of(&self, prompt_id: u64) -> u64 {
        prompt_id / self.ids_per_step() + 1
    }

    /// The first prompt of a step, counted from 0.
    pub fn first_prompt_of(&self, batch: u64) -> u64 {
        batch * self.ids_per_step()
    }

    /// Numbers that a step has for its prompts, those it may ask for in addition included.
    fn ids_per_step(&self) -> u64 {
        (self.prompts_per_step * (1 + self.refills)) as u64
    }
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self {
            learning_rate: 1e-6,
            schedule: Schedule::Linear,
            warmup_steps: 0,
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            weight_decay: 0.0,
            max_grad_norm: 1.0,
            state: OptimizerState::F32,
        }
    }
}

impl Default for LearnerConfig {
    fn default() -> Self {
        Self {
            steps: 100,
            prompts_per_step: 8,
            window: 1,
            iterations: 1,
            refills: 0,
            max_tokens_per_micro_batch: 4096,
            activation_mib: 0,
            checkpoint_every: 20,
            keep_checkpoints: 2,
            device: Device::Cpu,
        }
    }
}
