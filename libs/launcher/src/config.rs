//! The whole configuration: every section, each owned by a crate, and what they ask of each other.

mod check;
#[cfg(test)]
mod tests;

use std::path::Path;

use toml::Table;
use vrft_answer::AnswerConfig;
use vrft_checkpoint::PolicyConfig;
use vrft_config::{ConfigError, Document, Printed, Section, joined};
use vrft_dataset::{DataConfig, EvaluationConfig};
use vrft_embedding::SemanticConfig;
use vrft_evaluate::JudgeConfig;
use vrft_learner::{MemorySettings, OptimizerConfig, SftConfig};
use vrft_objective::config::{AdvantageConfig, LossConfig};
use vrft_plan::{LearnerConfig, PoolConfig, RolloutConfig, RunConfig};
use vrft_reward::config::{RewardConfig, RewardsConfig};
use vrft_segment::SegmentConfig;
use vrft_stream::StreamConfig;
use vrft_weights::WeightsConfig;

use crate::table::TableConfig;
use crate::tune::TuneConfig;

/// Everything that a run depends on, apart from the graph itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Config {
    pub(crate) run: RunConfig,
    pub(crate) policy: PolicyConfig,
    pub(crate) data: DataConfig,
    pub(crate) stream: Option<StreamConfig>,
    pub(crate) rollout: RolloutConfig,
    pub(crate) pool: PoolConfig,
    pub(crate) rewards: RewardsConfig,
    pub(crate) semantic: Option<SemanticConfig>,
    pub(crate) advantage: AdvantageConfig,
    pub(crate) loss: LossConfig,
    pub(crate) optimizer: OptimizerConfig,
    pub(crate) learner: LearnerConfig,
    pub(crate) weights: WeightsConfig,
    pub(crate) sft: SftConfig,
    pub(crate) evaluation: EvaluationConfig,
    pub(crate) answer: AnswerConfig,
    pub(crate) segment: Option<SegmentConfig>,
    /// What `vrft table` makes of the configuration; a run reads nothing of it.
    pub(crate) table: Option<TableConfig>,
    /// How `vrft tune` looks for better settings; a run reads nothing of it.
    pub(crate) tune: Option<TuneConfig>,
}

/// All sections there are.
const SECTIONS: [&str; 19] = [
    RunConfig::NAME,
    PolicyConfig::NAME,
    DataConfig::NAME,
    StreamConfig::NAME,
    RolloutConfig::NAME,
    PoolConfig::NAME,
    RewardConfig::NAME,
    SemanticConfig::NAME,
    AdvantageConfig::NAME,
    LossConfig::NAME,
    OptimizerConfig::NAME,
    LearnerConfig::NAME,
    WeightsConfig::NAME,
    SftConfig::NAME,
    EvaluationConfig::NAME,
    AnswerConfig::NAME,
    SegmentConfig::NAME,
    TableConfig::NAME,
    TuneConfig::NAME,
];

impl Config {
    /// Reads a file, applies `section.key=value` overrides, checks every section and what they ask of each other.
    ///
    /// # Errors
    /// What the first wrong section says, or a section that no crate owns.
    pub(crate) fn load(path: &Path, overrides: &[String]) -> Result<Self, ConfigError> {
        Self::read(&Document::load(path, overrides)?)
    }

    /// The same from a document.
    pub(crate) fn read(document: &Document) -> Result<Self, ConfigError> {
        Self::refuse_wrong(document)?;
        let mut config = Self {
            run: document.section()?,
            policy: document.section()?,
            data: document.section()?,
            stream: document.optional()?,
            rollout: document.section()?,
            pool: document.section()?,
            rewards: RewardsConfig::read(document)?,
            semantic: document.optional()?,
            advantage: document.section()?,
            loss: document.section()?,
            optimizer: document.section()?,
            learner: document.section()?,
            weights: document.section()?,
            sft: document.section()?,
            evaluation: document.section()?,
            answer: document.section()?,
            segment: document.optional()?,
            table: document.optional()?,
            tune: document.optional()?,
        };
        for source in &mut config.data.sources {
            let own = config.rewards.own.get(&source.task);
            source.reward = own.map(|reward| Table::try_from(reward).expect("a reward is a table"));
        }
        config.check_across().map_err(|error| document.locate(error))?;
        Ok(config)
    }

    /// Reads each section by itself, so that an error in one does not hide that of another.
    fn refuse_wrong(document: &Document) -> Result<(), ConfigError> {
        fn wrong<S: Section>(document: &Document) -> Option<ConfigError> {
            document.optional::<S>().err()
        }
        let errors = [
            document.refuse_unknown(&SECTIONS).err(),
            wrong::<RunConfig>(document),
            wrong::<PolicyConfig>(document),
            wrong::<DataConfig>(document),
            wrong::<StreamConfig>(document),
            wrong::<RolloutConfig>(document),
            wrong::<PoolConfig>(document),
            RewardsConfig::read(document).err(),
            wrong::<SemanticConfig>(document),
            wrong::<AdvantageConfig>(document),
            wrong::<LossConfig>(document),
            wrong::<OptimizerConfig>(document),
            wrong::<LearnerConfig>(document),
            wrong::<WeightsConfig>(document),
            wrong::<SftConfig>(document),
            wrong::<EvaluationConfig>(document),
            wrong::<AnswerConfig>(document),
            wrong::<SegmentConfig>(document),
            wrong::<TableConfig>(document),
            wrong::<TuneConfig>(document),
        ];
        let mut errors: Vec<ConfigError> = errors.into_iter().flatten().collect();
        match errors.len() {
            0 => Ok(()),
            1 => Err(errors.remove(0)),
            _ => Err(ConfigError::Several(errors)),
        }
    }

    /// The whole configuration with every default written out; it reads back the same.
    pub(crate) fn to_toml(&self) -> String {
        let mut printed = Printed::default();
        printed.add(&self.run);
        printed.add(&self.policy);
        printed.add(&self.data);
        self.stream.iter().for_each(|stream| printed.add(stream));
        printed.add(&self.rollout);
        printed.add(&self.pool);
        printed.add(&self.rewards.shared);
        self.semantic.iter().for_each(|semantic| printed.add(semantic));
        printed.add(&self.advantage);
        printed.add(&self.loss);
        printed.add(&self.optimizer);
        printed.add(&self.learner);
        printed.add(&self.weights);
        printed.add(&self.sft);
        printed.add(&self.evaluation);
        printed.add(&self.answer);
        self.segment.iter().for_each(|segment| printed.add(segment));
        printed.finish()
    }

    /// Makes the paths absolute that start at this folder. A policy or a SAM that is not a folder there stays as it is: it may
    /// be a model of the hub.
    pub(crate) fn anchor(&mut self, folder: &Path) {
        let policy = joined(folder, &self.policy.path);
        if policy.exists() {
            self.policy.path = policy;
        }
        if let Some(base) = &mut self.policy.base {
            let at = joined(folder, base);
            if at.exists() {
                *base = at;
            }
        }
        if let Some(segment) = &mut self.segment {
            let model = joined(folder, &segment.model);
            if model.exists() {
                segment.model = model;
            }
        }
        let Self { answer, data, evaluation, run, semantic, stream, weights, .. } = self;
        let mut paths =
            vec![&mut run.out, &mut evaluation.test, &mut weights.zenoh, &mut answer.served];
        if data.sources.is_empty() {
            paths.push(&mut data.train);
        }
        for source in &mut data.sources {
            paths.push(&mut source.train);
            paths.extend(source.test.as_mut());
        }
        paths.extend(evaluation.validation.as_mut());
        paths.extend(data.image_root.as_mut());
        paths.extend(data.classes.as_mut());
        paths.extend(data.rows.as_mut());
        paths.extend(evaluation.exist.as_mut());
        paths.extend(semantic.as_mut().map(|semantic| &mut semantic.model));
        paths.extend(stream.as_mut().map(|stream| &mut stream.held_out_from));
        for path in paths.into_iter().filter(|path| !path.as_os_str().is_empty()) {
            *path = joined(folder, path);
        }
    }

    /// What a judge of policies works by.
    pub(crate) fn judge(&self) -> JudgeConfig {
        JudgeConfig {
            policy: self.policy.clone(),
            evaluation: self.evaluation.clone(),
            data: self.data.clone(),
            rollout: self.rollout.clone(),
            reward: self.rewards.shared.clone(),
        }
    }

    /// What an estimate of memory works by.
    pub(crate) fn memory(&self) -> MemorySettings<'_> {
        MemorySettings {
            policy: &self.policy,
            rollout: &self.rollout,
            learner: &self.learner,
            optimizer: &self.optimizer,
            loss: &self.loss,
            n_shown: vrft_objective::config::n_shown(&self.advantage, &self.loss),
            evaluation_rows: self.evaluation.batch_size,
        }
    }
}
