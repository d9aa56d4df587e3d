//! The semantic reward: how near in meaning the words of an answer are to those of the truth.
//!
//! It gives one term; the advantage node adds it to the terms of the reward node. It has a process of its own
//! since it runs a sentence model, and the rules should run on anything.

use eyre::WrapErr;
use tracing::info;
use vrft_config::{ConfigError, Document};
use vrft_embedding::{Encoder, SemanticConfig};
use vrft_node::Node;
use vrft_plan::LearnerConfig;
use vrft_reward::config::RewardsConfig;

use crate::likeness::Likeness;
use crate::ports::{GROUPS, PORTS, REWARDS};

mod likeness;
mod ports;
#[cfg(test)]
mod tests;

/// Name of the term.
const TERM: &str = "semantic";

fn main() -> std::process::ExitCode {
    vrft_node::exit(start())
}

fn start() -> eyre::Result<()> {
    let document = vrft_node::load_document()?;
    let config = Config::read(&document)?;
    let likeness = load(&config)?;
    run(Node::join(&PORTS, &document)?, &config, &likeness)
}

/// What the node reads of the configuration.
#[derive(Debug, Clone, Default)]
pub(crate) struct Config {
    pub(crate) semantic: Option<SemanticConfig>,
    pub(crate) rewards: RewardsConfig,
    pub(crate) learner: LearnerConfig,
}

impl Config {
    pub(crate) fn read(document: &Document) -> Result<Self, ConfigError> {
        Ok(Self {
            semantic: document.optional()?,
            rewards: RewardsConfig::read(document)?,
            learner: document.section()?,
        })
    }
}

/// Loads the sentence model that the configuration names.
fn load(config: &Config) -> eyre::Result<Likeness> {
    let semantic = SemanticConfig::needed(config.semantic.as_ref())?;
    let encoder = Encoder::load(&semantic.model).wrap_err("semantic.model")?;
    info!(model = %semantic.model.display(), "Loaded the sentence model.");
    Ok(Likeness::new(encoder, semantic.clone(), &config.rewards))
}

/// Scores each group as it arrives.
fn run(mut node: Node, config: &Config, likeness: &Likeness) -> eyre::Result<()> {
    while let Some(batch) = node.recv(&GROUPS)? {
        let Some(first) = batch.completions.first() else { continue };
        let step = config.learner.step_of(first.prompt_id);
        let rewards = node.timed(step, TERM, |_| likeness.score(&batch))?;
        node.send(&REWARDS, &rewards)?;
        node.send_metrics()?;
    }
    node.finish()
}
