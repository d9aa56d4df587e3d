//! The reward: checks each completion against the ground truth that travels with it.

use clap::Parser;
use eyre::{WrapErr, ensure, eyre};
use vrft_config::{ConfigError, Document};
use vrft_messages::{CompletionBatch, CompletionRow, RewardBatch, RewardRow, Term};
use vrft_node::Node;
use vrft_plan::LearnerConfig;
use vrft_reward::config::RewardsConfig;
use vrft_reward::{Attempt, Reward, Rewards, Score, Truth};

use crate::ports::{GROUPS, PORTS, REWARDS};
use crate::terms::Terms;

mod ports;
mod terms;
#[cfg(test)]
mod tests;

fn main() -> std::process::ExitCode {
    vrft_node::exit(start())
}

/// Scores completions.
#[derive(Parser)]
struct Arguments {
    /// Judge by these terms alone, as in `iou,format`; another node judges by the others.
    #[arg(long, default_value = "")]
    terms: String,
}

fn start() -> eyre::Result<()> {
    let terms = Terms::parse(&Arguments::parse().terms);
    let document = vrft_node::load_document()?;
    let config = Config::read(&document)?;
    run(Node::join(&PORTS, &document)?, &config, &terms)
}

/// What the node reads of the configuration.
#[derive(Debug, Clone, Default)]
pub(crate) struct Config {
    pub(crate) rewards: RewardsConfig,
    pub(crate) learner: LearnerConfig,
}

impl Config {
    pub(crate) fn read(document: &Document) -> Result<Self, ConfigError> {
        Ok(Self { rewards: RewardsConfig::read(document)?, learner: document.section()? })
    }
}

/// Scores each group as it arrives.
fn run(mut node: Node, config: &Config, terms: &Terms) -> eyre::Result<()> {
    let rewards = Rewards::new(&config.rewards);
    terms.check(&rewards)?;
    ensure!(
        terms.are_all() || config.rewards.iter().all(|reward| reward.correction.is_none()),
        "--terms: with reward.correction the bonus is about all terms together; let one node judge, or leave the section out"
    );
    while let Some(batch) = node.recv(&GROUPS)? {
        let Some(first) = batch.completions.first() else { continue };
        let step = config.learner.step_of(first.prompt_id);
        let progress = ((step - 1) as f64 / config.learner.steps as f64).min(1.0);
        let mut scored = node.timed(step, "reward", |_| score(&rewards, &batch, progress))?;
        terms.keep(&mut scored);
        node.send(&REWARDS, &scored)?;
        node.send_metrics()?;
    }
    node.finish()
}

fn score(rewards: &Rewards, batch: &CompletionBatch, progress: f64) -> eyre::Result<RewardBatch> {
    let mut rows = Vec::with_capacity(batch.completions.len());
    for group in batch.groups() {
        let reward = rewards.of(&group[0].task);
        let truth = reward
            .parse_answer(&group[0].answer)
            .wrap_err_with(|| format!("ground truth of prompt {}", group[0].prompt_id))?;
        let first = first(reward, &group[0], &truth, progress)?;
        rows.extend(group.iter().map(|row| {
            let token_ids = Some(&row.completion.token_ids[..]);
            let attempt = Attempt { text: &row.completion.text, token_ids, progress };
            let score = reward.score_attempt(&attempt, &truth);
            let score = match &first {
                Some(first) => reward.of_correction(first, score),
                None => score,
            };
            reward_row(row, score)
        }));
    }
    Ok(RewardBatch { rewards: rows })
}

/// The score of the answer that a group corrects; `None` where its task is no correction.
fn first(
    reward: &Reward,
    row: &CompletionRow,
    truth: &Truth,
    progress: f64,
) -> eyre::Result<Option<Score>> {
    if reward.config().correction.is_none() {
        return Ok(None);
    }
    let text = row.first.as_deref().ok_or_else(|| {
        eyre!(
            "prompt {}: reward.correction needs the first answer, and it came without",
            row.prompt_id
        )
    })?;
    // How many tokens it had is not known: it may be of another policy.
    Ok(Some(reward.score_attempt(&Attempt { text, token_ids: None, progress }, truth)))
}

fn reward_row(completion: &CompletionRow, score: Score) -> RewardRow {
    let term = |term: vrft_reward::Term| Term {
        name: term.name,
        value: term.value as f32,
        weight: term.weight as f32,
    };
    RewardRow {
        prompt_id: completion.prompt_id,
        completion_idx: completion.completion_idx,
        reward: score.total.map(|total| total as f32),
        terms: score.terms.into_iter().map(term).collect(),
    }
}
