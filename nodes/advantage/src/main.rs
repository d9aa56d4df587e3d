//! The advantage: compares each completion with its siblings.

use config::Config;
use grpo::group_advantages;
use messages::{Advantage, AdvantageBatch, RewardBatch, RewardRow};
use node::Node;

#[cfg(test)]
mod tests;

fn main() -> std::process::ExitCode {
    node::exit(start())
}

fn start() -> eyre::Result<()> {
    let config = node::load_config()?;
    run(Node::join(&config)?, &config)
}

/// Turns each group's rewards into advantages.
fn run(mut node: Node, config: &Config) -> eyre::Result<()> {
    while let Some(batch) = node.recv::<RewardBatch>("rewards")? {
        let Some(first) = batch.rewards.first() else { continue };
        let step = config.learner.step_of(first.prompt_id);
        let advantages: Vec<Advantage> = node.timed(step, "advantage", |_| {
            batch.groups().flat_map(|group| advantages_of(group, config)).collect()
        });
        let equal = batch.groups().filter(|group| all_equal(group)).count();
        node.metric(step, "reward/zero_std_groups", equal as f64 / batch.groups().count() as f64);
        node.send("advantages", &AdvantageBatch { advantages })?;
        node.send_metrics()?;
    }
    node.finish()
}

fn advantages_of(group: &[RewardRow], config: &Config) -> Vec<Advantage> {
    let rewards: Vec<Option<f32>> = group.iter().map(|row| row.reward).collect();
    let advantages = group_advantages(&rewards, &config.advantage);
    group
        .iter()
        .zip(advantages)
        .map(|(row, advantage)| Advantage {
            prompt_id: row.prompt_id,
            completion_idx: row.completion_idx,
            advantage,
            reward: row.reward,
        })
        .collect()
}

/// A group whose completions did equally well teaches nothing.
fn all_equal(group: &[RewardRow]) -> bool {
    group.windows(2).all(|pair| pair[0].reward == pair[1].reward)
}
