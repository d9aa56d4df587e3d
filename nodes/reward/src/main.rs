//! The reward: checks each completion against the ground truth that travels with it.

use clap::Parser;
use eyre::{WrapErr, eyre};
use vrft_config::{ConfigError, Document};
use vrft_messages::{CompletionBatch, CompletionRow, RewardBatch, RewardRow, Term};
use vrft_node::Node;
use vrft_plan::{LearnerConfig, RolloutConfig, ToolsConfig};
use vrft_reward::config::{CorrectionConfig, RewardsConfig};
use vrft_reward::{Attempt, Reward, Rewards, Score, Truth};

use crate::ports::{GROUPS, PORTS, REWARDS};
use crate::terms::Terms;

mod ports;
mod terms;
#[cfg(test)]
mod tests;

/// Name of the term that calls of tools cost.
const CALLS: &str = "calls";

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
    pub(crate) rollout: RolloutConfig,
}

impl Config {
    pub(crate) fn read(document: &Document) -> Result<Self, ConfigError> {
        Ok(Self {
            rewards: RewardsConfig::read(document)?,
            learner: document.section()?,
            rollout: document.section()?,
        })
    }
}

/// Scores each group as it arrives.
fn run(mut node: Node, config: &Config, terms: &Terms) -> eyre::Result<()> {
    let rewards = Rewards::new(&config.rewards);
    let tools = config.rollout.tools.as_ref();
    terms.check(&config.rewards, tools.map_or(0.0, |tools| tools.cost))?;
    while let Some(batch) = node.recv(&GROUPS)? {
        let Some(first) = batch.completions.first() else { continue };
        let step = config.learner.step_of(first.prompt_id);
        let progress = ((step - 1) as f64 / config.learner.steps as f64).min(1.0);
        let mut scored = node.timed(step, "reward", |_| score(&rewards, &batch, progress))?;
        if rewards.iter().any(|reward| reward.config().has_refined()) {
            // The rules of these steps are the later ones.
            let refined = rewards.iter().any(|reward| reward.config().is_refined_at(progress));
            node.metric(step, "reward/refined", f64::from(u8::from(refined)));
        }
        if let Some(tools) = tools {
            charge(&mut scored, &batch, tools);
        }
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
        if reward.config().correction.as_ref().is_some_and(CorrectionConfig::is_of_policy) {
            rows.extend(group.iter().map(|row| two_turns(reward, row, &truth, progress)));
            continue;
        }
        let first = first(reward, &group[0], &truth, progress)?;
        rows.extend(group.iter().map(|row| {
            let score = reward.score_attempt(&last_turn(row, progress), &truth);
            let score = match &first {
                Some(first) => reward.of_correction(first, score),
                None => score,
            };
            reward_row(row, score)
        }));
    }
    Ok(RewardBatch { rewards: rows })
}

/// What the policy said last: in its only turn, or after the last reply.
fn last_turn(row: &CompletionRow, progress: f64) -> Attempt<'_> {
    let completion = &row.completion;
    let start = completion.replies.last().map_or(0, |reply| reply.after as usize);
    Attempt { text: &completion.text, token_ids: Some(&completion.token_ids[start..]), progress }
}

/// An answer of the policy and its own correction. One that was cut before it was asked to correct itself has given no
/// second answer, which is worth what an empty one is.
fn two_turns(reward: &Reward, row: &CompletionRow, truth: &Truth, progress: f64) -> RewardRow {
    let replies = &row.completion.replies;
    let asked = replies.iter().position(|reply| reply.tool.is_none());
    let last = last_turn(row, progress);
    let turns = match asked {
        Some(place) => {
            let start = place.checked_sub(1).map_or(0, |before| replies[before].after as usize);
            let tokens = &row.completion.token_ids[start..replies[place].after as usize];
            [Attempt { text: &replies[place].said, token_ids: Some(tokens), progress }, last]
        }
        None => [last, Attempt { text: "", token_ids: Some(&[]), progress }],
    };
    let [first, second] = turns.map(|attempt| reward.score_attempt(&attempt, truth));
    let first_turn = reward.of_first(&first, &second).map(|reward| reward as f32);
    RewardRow { first_turn, ..reward_row(row, reward.of_correction(&first, second)) }
}

/// Takes the cost of its calls from the reward of each completion.
fn charge(scored: &mut RewardBatch, batch: &CompletionBatch, tools: &ToolsConfig) {
    for (scored, row) in scored.rewards.iter_mut().zip(&batch.completions) {
        let (value, weight) = (-(row.completion.n_calls() as f32), tools.cost as f32);
        scored.reward = scored.reward.map(|reward| reward + weight * value);
        scored.terms.push(Term { name: CALLS.to_owned(), value, weight });
    }
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
        first_turn: None,
        terms: score.terms.into_iter().map(term).collect(),
    }
}
