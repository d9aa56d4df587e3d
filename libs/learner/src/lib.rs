//! The learner: from completions and their advantages to the next version of the policy.
//!
//! It owns the optimizer and knows nothing of rewards. [`Learner::grpo_step`] is one update: micro-batches that
//! fit into memory, gradients accumulated over them, AdamW. [`Checkpoints`] makes what it holds survive.

mod adamw;
mod adversarial;
mod batch;
mod checkpoint;
mod config;
mod controllers;
mod distance;
mod durable;
mod elementwise;
mod error;
#[cfg(feature = "cuda")]
mod gpu_moments;
mod gradient_noise;
mod gradients;
mod group_size;
mod grpo;
mod learner;
mod memory;
mod micro_batch;
mod moment;
mod moments;
mod noise;
mod pass;
mod plan;
mod reptile;
mod saved;
mod schedule;
mod sequence;
mod shared_images;
mod stats;
mod update;

pub use batch::{Demonstration, FirstTurn, Origin, TrainCompletion, TrainGroup};
pub use checkpoint::{Checkpoint, Checkpoints, Cursor};
pub use config::{
    OptimizerConfig, OptimizerState, Schedule, SftConfig, check_group_size, check_imitation,
    check_offline,
};
pub use error::LearnerError;
pub use gradients::StepGradients;
pub use learner::{Learner, TrainSettings};
pub use memory::{Devices, MemoryEstimate, MemorySettings, PromptSize};
pub use micro_batch::MicroBatchPlan;
pub use reptile::ReptileStats;
pub use stats::StepStats;
