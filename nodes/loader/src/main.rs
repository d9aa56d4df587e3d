//! The loader: questions about images, sent only against credit.

use eyre::WrapErr;
use tracing::warn;
use vrft_checkpoint::PolicyConfig;
use vrft_config::{ConfigError, Document};
use vrft_dataset::{DataConfig, EvaluationConfig};
use vrft_messages::PromptBatch;
use vrft_node::Node;
use vrft_plan::{LearnerConfig, RolloutConfig, RunConfig};
use vrft_processor::Processor;
use vrft_reward::config::RewardsConfig;
use vrft_stream::StreamConfig;

use crate::ports::{CREDIT, PORTS, PROMPTS};
use crate::sources::Sources;

mod corrected;
mod held_out;
mod live;
mod overlap;
mod ports;
mod prompt;
mod question;
mod seen;
mod session;
mod sources;
#[cfg(test)]
mod tests;

/// The file of a run folder that names the samples which were drawn.
const SHOTS_FILE: &str = "shots.txt";

fn main() -> std::process::ExitCode {
    vrft_node::exit(start())
}

fn start() -> eyre::Result<()> {
    let document = vrft_node::load_document()?;
    let config = Config::read(&document)?;
    if let Some(settings) = &config.stream {
        return live::run(Node::join(&PORTS, &document)?, &config, settings);
    }
    let processor = Processor::of(&config.policy)?;
    let mut sources = Sources::open(&config, &processor)?;
    let node = Node::join(&PORTS, &document)?;
    if let Some(names) = sources.drawn(&config) {
        // Each loader of a graph draws the same.
        let path = node.run_dir().join(SHOTS_FILE);
        std::fs::write(&path, names).wrap_err_with(|| format!("cannot write {path:?}"))?;
    }
    if overlap::is_told_by(node.id(), &node.members()) {
        for sentence in overlap::found(&config, sources.datasets()) {
            // The launcher, the report and the doctor show lines that begin so.
            warn!("Data: {sentence}");
        }
    }
    run(node, &config, &mut sources)
}

/// What the node reads of the configuration.
#[derive(Debug, Clone, Default)]
pub(crate) struct Config {
    pub(crate) run: RunConfig,
    pub(crate) policy: PolicyConfig,
    pub(crate) data: DataConfig,
    pub(crate) evaluation: EvaluationConfig,
    pub(crate) stream: Option<StreamConfig>,
    pub(crate) rewards: RewardsConfig,
    pub(crate) rollout: RolloutConfig,
    pub(crate) learner: LearnerConfig,
    /// What supervised tuning puts before every answer, by `sft.answer_prefix`.
    pub(crate) answer_prefix: String,
}

impl Config {
    pub(crate) fn read(document: &Document) -> Result<Self, ConfigError> {
        Ok(Self {
            run: document.section()?,
            policy: document.section()?,
            data: document.section()?,
            evaluation: document.section()?,
            stream: document.optional()?,
            rewards: RewardsConfig::read(document)?,
            rollout: document.section()?,
            learner: document.section()?,
            // The section belongs to the learner, which checks it.
            answer_prefix: document
                .get("sft.answer_prefix")
                .and_then(|prefix| prefix.as_str())
                .unwrap_or_default()
                .to_owned(),
        })
    }
}

/// Answers each credit with the batch of prompts it names.
fn run(mut node: Node, config: &Config, sources: &mut Sources<'_>) -> eyre::Result<()> {
    while let Some(credit) = node.recv(&CREDIT)? {
        let step = config.learner.step_of(credit.first_prompt_id);
        let batch: eyre::Result<PromptBatch> = node.timed(step, "loader", |_| {
            let ids = (credit.first_prompt_id..).take(credit.prompts as usize);
            let prompts = ids.map(|id| sources.prompt(config, id, credit.policy_version));
            Ok(PromptBatch { prompts: prompts.collect::<eyre::Result<_>>()? })
        });
        node.send(&PROMPTS, &batch?)?;
        let counts = sources.counts();
        for (name, n) in [
            ("data/rows", counts.total),
            ("data/skipped", counts.skipped),
            ("data/used", counts.used),
        ] {
            node.metric(step, name, n as f64);
        }
        node.send_metrics()?;
    }
    node.finish()
}
