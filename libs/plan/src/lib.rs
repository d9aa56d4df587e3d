//! The numbers that several stages of a run agree on: its seed and folder, steps and prompts per step, how completions
//! are sampled, what happens to a rollout that dies, and where each stage computes.
//!
//! ```
//! let learner = vrft_plan::LearnerConfig { prompts_per_step: 8, ..Default::default() };
//! assert_eq!((learner.step_of(0), learner.step_of(7), learner.step_of(8)), (1, 1, 2));
//! ```

mod attack;
mod device;
mod learner;
mod pool;
mod rollout;
mod run;

pub use attack::AttackConfig;
pub use device::Device;
pub use learner::LearnerConfig;
pub use pool::{OnLoss, PoolConfig};
pub use rollout::{AdaptiveGroupConfig, RolloutConfig, ToolsConfig};
pub use run::RunConfig;
