//! The sections that the learner works by.

use vrft_checkpoint::PolicyConfig;
use vrft_config::{ConfigError, Document};
use vrft_dataset::EvaluationConfig;
use vrft_learner::{OptimizerConfig, SftConfig, check_group_size, check_imitation};
use vrft_objective::config::LossConfig;
use vrft_plan::{LearnerConfig, RolloutConfig, RunConfig};
use vrft_weights::WeightsConfig;

use crate::join::Shown;

/// What the node reads of the configuration.
#[derive(Debug, Clone, Default)]
pub(crate) struct Config {
    pub(crate) run: RunConfig,
    pub(crate) policy: PolicyConfig,
    pub(crate) rollout: RolloutConfig,
    pub(crate) learner: LearnerConfig,
    pub(crate) loss: LossConfig,
    pub(crate) optimizer: OptimizerConfig,
    pub(crate) sft: SftConfig,
    pub(crate) weights: WeightsConfig,
    pub(crate) evaluation: EvaluationConfig,
}

impl Config {
    pub(crate) fn read(document: &Document) -> Result<Self, ConfigError> {
        let config = Self {
            run: document.section()?,
            policy: document.section()?,
            rollout: document.section()?,
            learner: document.section()?,
            loss: document.section()?,
            optimizer: document.section()?,
            sft: document.section()?,
            weights: document.section()?,
            evaluation: document.section()?,
        };
        check_imitation(&config.loss, &config.learner)?;
        check_group_size(&config.rollout, &config.learner)?;
        Ok(config)
    }

    /// In which ways the objective shows the true answers.
    pub(crate) fn shown(&self) -> Shown<'_> {
        Shown {
            imitated: self.loss.chord.as_ref().map(|_| &self.sft),
            hint: self.loss.self_distillation.as_ref(),
        }
    }
}
