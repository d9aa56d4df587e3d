//! The typed configuration of a run: one TOML file, one struct per section, unknown keys refused.
//!
//! ```
//! let config = vrft_config::Config::parse("[rollout]\ngroup_size = 4", "example")?;
//! assert_eq!(config.rollout.group_size, 4);
//! assert!(vrft_config::Config::parse("[rollout]\ngroupsize = 4", "example").is_err());
//! # Ok::<(), vrft_config::ConfigError>(())
//! ```
//! A section that is left out takes its defaults; [`Config::to_toml`] prints all of them resolved.

mod advantage;
mod answer;
mod check;
mod check_objective;
mod check_reward;
mod check_sources;
mod check_stream;
mod data;
mod declare;
mod device;
mod error;
mod learner;
mod load;
mod loss;
mod metric;
mod policy;
mod pool;
mod reward;
mod rollout;
mod run;
mod semantic;
mod stream;
mod term;
mod weights;

pub use advantage::{
    AbsoluteConfig, AbsoluteMode, AdvantageConfig, AdvantageScale, Aggregate, Baseline,
    CurriculumConfig, Diversity, OverlongConfig,
};
pub use answer::{AnswerConfig, AnswerType, Content, FormatConfig, From, Keys, Reader, Space};
pub use data::{DataConfig, EvaluationConfig, Flip, SourceConfig};
pub use device::Device;
pub use error::ConfigError;
pub use learner::{LearnerConfig, OptimizerConfig, OptimizerState, Schedule, SftConfig};
pub use loss::{
    AdaptiveEntropyConfig, AdaptiveKlConfig, CispoConfig, CorrectionMode, KlEstimator, KlPlace,
    LossConfig, LossKind, SamplerCorrectionConfig, SapoConfig, VespoConfig,
};
pub use policy::{ALL_LINEAR, Dtype, LoraConfig, PolicyConfig, TargetModules};
pub use pool::{OnLoss, PoolConfig};
pub use reward::{CorrectionConfig, RewardConfig, RewardMode};
pub use rollout::RolloutConfig;
pub use run::RunConfig;
pub use semantic::SemanticConfig;
pub use stream::{PuzzleKind, StreamConfig, Truth};
pub use term::{
    MatchBy, MatchConfig, Measure, Metric, Miss, Norm, Refined, Repeats, Same, Shape, Snra,
    TermConfig,
};
pub use weights::WeightsConfig;

use serde::{Deserialize, Serialize};

/// Everything a run depends on, apart from the graph itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Name, seed and folder of the run.
    pub run: RunConfig,
    /// The checkpoint to start from.
    pub policy: PolicyConfig,
    /// Images, questions and verifiable answers to learn from.
    pub data: DataConfig,
    /// How completions are sampled.
    pub rollout: RolloutConfig,
    /// What becomes of a rollout that dies or lags, where there are several.
    pub pool: PoolConfig,
    /// How completions are scored.
    pub reward: RewardConfig,
    /// One more term by what an answer means, if the graph has a node for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub semantic: Option<SemanticConfig>,
    /// How rewards become advantages.
    pub advantage: AdvantageConfig,
    /// The GRPO objective.
    pub loss: LossConfig,
    /// Optimizer of the reinforcement fine-tuning.
    pub optimizer: OptimizerConfig,
    /// Steps, batches, window, checkpoints.
    pub learner: LearnerConfig,
    /// How policy versions travel.
    pub weights: WeightsConfig,
    /// The supervised baseline: same shots, same steps, its own optimizer.
    pub sft: SftConfig,
    /// Held-out data and when to look at it.
    pub evaluation: EvaluationConfig,
}
