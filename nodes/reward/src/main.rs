//! The reward: checks each completion against the ground truth that travels with it.

use std::collections::BTreeMap;

use clap::Parser;
use config::Config;
use eyre::WrapErr;
use messages::{Completion, CompletionBatch, RewardBatch, RewardRow, Term};
use node::Node;
use reward::{Attempt, Reward};

use crate::terms::Terms;

mod terms;
#[cfg(test)]
mod tests;

fn main() -> std::process::ExitCode {
    node::exit(start())
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
    let config = node::load_config()?;
    run(Node::join(&config)?, &config, &terms)
}

/// Scores each group as it arrives.
fn run(mut node: Node, config: &Config, terms: &Terms) -> eyre::Result<()> {
    let reward = Reward::new(&config.reward);
    while let Some(batch) = node.recv::<CompletionBatch>("groups")? {
        let Some(first) = batch.completions.first() else { continue };
        let step = config.learner.step_of(first.prompt_id);
        let progress = ((step - 1) as f64 / config.learner.steps as f64).min(1.0);
        let mut rewards = node.timed(step, "reward", |_| score(&reward, &batch, progress))?;
        terms.keep(&mut rewards)?;
        note_metrics(&mut node, step, &rewards, terms);
        node.send("rewards", &rewards)?;
        node.send_metrics()?;
    }
    node.finish()
}

fn score(reward: &Reward, batch: &CompletionBatch, progress: f64) -> eyre::Result<RewardBatch> {
    let mut rewards = Vec::with_capacity(batch.completions.len());
    for group in batch.groups() {
        let truth = reward
            .parse_answer(&group[0].answer)
            .wrap_err_with(|| format!("ground truth of prompt {}", group[0].prompt_id))?;
        rewards.extend(group.iter().map(|row| {
            let token_ids = Some(&row.token_ids[..]);
            let attempt = Attempt { text: &row.text, token_ids, progress };
            reward_row(row, reward.score_attempt(&attempt, &truth))
        }));
    }
    Ok(RewardBatch { rewards })
}

fn reward_row(completion: &Completion, score: reward::Score) -> RewardRow {
    let term = |term: reward::Term| Term {
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

/// Means over the completions that could be scored.
fn note_metrics(node: &mut Node, step: u64, batch: &RewardBatch, terms: &Terms) {
    let mut sums: BTreeMap<&str, f64> = BTreeMap::new();
    let scored: Vec<&RewardRow> = batch.rewards.iter().filter(|row| row.reward.is_some()).collect();
    for row in &scored {
        // A part says nothing of the whole: who adds the parts up does.
        if terms.are_all() {
            *sums.entry("total").or_default() += f64::from(row.reward.unwrap_or(0.0));
        }
        for term in &row.terms {
            *sums.entry(&term.name).or_default() += f64::from(term.value);
        }
    }
    let means: Vec<(String, f64)> = sums
        .iter()
        .map(|(name, sum)| (format!("reward/{name}/mean"), sum / scored.len() as f64))
        .collect();
    means.into_iter().for_each(|(name, mean)| node.metric(step, name, mean));
    node.metric(step, "reward/unscored", (batch.rewards.len() - scored.len()) as f64);
}
