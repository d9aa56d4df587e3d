//! Advantages, loss, optimizer and the learner's loop.

use serde::{Deserialize, Serialize};

/// How the rewards of a group become advantages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdvantageConfig {
    /// What the difference to the group's mean is divided by.
    pub scale: AdvantageScale,
    /// Added to the standard deviation; TRL uses 1e-4.
    pub eps: f32,
}

/// Normalization of a group's rewards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AdvantageScale {
    /// The group's standard deviation (GRPO, arXiv 2402.03300).
    Group,
    /// Nothing (Dr. GRPO, arXiv 2503.20783).
    None,
}

/// The GRPO objective.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LossConfig {
    /// Weight β of the KL to the reference policy; 0 leaves the reference policy out.
    pub kl_coef: f64,
    /// Clip range ε of the importance ratio.
    pub clip_epsilon: f64,
}

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
    /// Tokens whose activations may be alive at once; larger steps are split and accumulated.
    pub max_tokens_per_micro_batch: usize,
    /// Memory for the activations of the language model's layers, in MiB; layers beyond it are computed a second
    /// time on the way back. 0 for no limit.
    pub activation_mib: usize,
    /// Steps between checkpoints; 0 for the last step only.
    pub checkpoint_every: u64,
    /// Newest checkpoints kept.
    pub keep_checkpoints: usize,
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
        prompt_id / self.prompts_per_step as u64 + 1
    }
}

impl Default for AdvantageConfig {
    fn default() -> Self {
        Self { scale: AdvantageScale::Group, eps: 1e-4 }
    }
}

impl Default for LossConfig {
    fn default() -> Self {
        Self { kl_coef: 0.04, clip_epsilon: 0.2 }
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
        }
    }
}

impl Default for LearnerConfig {
    fn default() -> Self {
        Self {
            steps: 100,
            prompts_per_step: 8,
            window: 1,
            max_tokens_per_micro_batch: 4096,
            activation_mib: 0,
            checkpoint_every: 20,
            keep_checkpoints: 2,
        }
    }
}
