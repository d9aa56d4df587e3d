//! The reward: checks each completion against the ground truth that travels with it.

use std::collections::BTreeMap;

use config::Config;
use eyre::WrapErr;
use messages::{Completion, CompletionBatch, RewardBatch, RewardRow, Term};
use node::Node;
use reward::{Attempt, Reward};

#[cfg(test)]
mod tests;

fn main() -> std::process::ExitCode {
    node::exit(start())
}

fn start() -> eyre::Result<()> {
    let config = node::load_config()?;
    run(Node::join(&config)?, &config)
}

/// Scores each group as it arrives.
fn run(mut node: Node, config: &Config) -> eyre::Result<()> {
    let reward = Reward::new(&config.reward);
    while let Some(batch) = node.recv::<CompletionBatch>("groups")? {
        let Some(first) = batch.completions.first() else { continue };
        let step = config.learner.step_of(first.prompt_id);
        let progress = ((step - 1) as f64 / config.learner.steps as f64).min(1.0);
        let rewards = node.timed(step, "reward", |_| score(&reward, &batch, progress))?;
        note_metrics(&mut node, step, &rewards);
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
fn note_metrics(node: &mut Node, step: u64, batch: &RewardBatch) {
    let mut sums: BTreeMap<&str, f64> = BTreeMap::new();
    let scored: Vec<&RewardRow> = batch.rewards.iter().filter(|row| row.reward.is_some()).collect();
    for row in &scored {
        *sums.entry("total").or_default() += f64::from(row.reward.unwrap_or(0.0));
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
