//! The advantage: compares each completion with its siblings.

mod means;
mod ports;
mod rewards;
mod scored;
#[cfg(test)]
mod tests;

use eyre::eyre;
use vrft_config::{ConfigError, Document};
use vrft_dataset::DataConfig;
use vrft_messages::{Advantage, AdvantageBatch, RewardBatch, RewardRow};
use vrft_node::Node;
use vrft_objective::config::{AdvantageConfig, Aggregate};
use vrft_objective::{Scored, ScoredGroup};
use vrft_plan::{LearnerConfig, RolloutConfig};
use vrft_reward::config::RewardsConfig;
use vrft_reward::{GAIN, Rewards};

use crate::ports::{ADVANTAGES, GROUPS, PORTS};
use crate::scored::{Details, scored_groups};

fn main() -> std::process::ExitCode {
    vrft_node::exit(start())
}

fn start() -> eyre::Result<()> {
    let document = vrft_node::load_document()?;
    let config = Config::read(&document)?;
    run(Node::join(&PORTS, &document)?, &config)
}

/// What the node reads of the configuration.
#[derive(Debug, Clone, Default)]
pub(crate) struct Config {
    pub(crate) advantage: AdvantageConfig,
    pub(crate) data: DataConfig,
    pub(crate) rollout: RolloutConfig,
    pub(crate) learner: LearnerConfig,
    pub(crate) rewards: RewardsConfig,
}

impl Config {
    pub(crate) fn read(document: &Document) -> Result<Self, ConfigError> {
        Ok(Self {
            advantage: document.section()?,
            data: document.section()?,
            rollout: document.section()?,
            learner: document.section()?,
            rewards: RewardsConfig::read(document)?,
        })
    }
}

/// Turns each group's rewards into advantages.
fn run(mut node: Node, config: &Config) -> eyre::Result<()> {
    let has_groups = node.has_input(&GROUPS);
    let are_tasks = !config.data.sources.is_empty();
    config.advantage.check_completions(has_groups, are_tasks).map_err(|why| eyre!(why))?;
    let rewards = Rewards::new(&config.rewards);
    while let Some(batch) = rewards::receive(&mut node)? {
        let completions = if has_groups { node.recv(&GROUPS)? } else { None };
        let Some(first) = batch.rewards.first() else { continue };
        let step = config.learner.step_of(first.prompt_id);
        let details = Details::join(&batch, completions.as_ref())?;
        details.check_truth(&batch, config.advantage.truth.is_some())?;
        let groups = scored_groups(&batch, &details, &config.data, &rewards);
        let advantages = node.timed(step, "advantage", |_| advantages_of(&batch, &groups, config));
        if config.advantage.truth.is_some() {
            node.metric(step, "truth/used", share_of_used_truths(&advantages, &details));
        }
        node.metric(step, "advantage/variance", variance(&advantages, &details));
        note_metrics(&mut node, step, &details.sampled(&batch), &details, config);
        node.send(&ADVANTAGES, &AdvantageBatch { advantages })?;
        node.send_metrics()?;
    }
    node.finish()
}

fn advantages_of(
    batch: &RewardBatch,
    groups: &[ScoredGroup<'_>],
    config: &Config,
) -> Vec<Advantage> {
    let max_tokens = config.rollout.max_completion_tokens;
    let advantages = vrft_objective::advantages(groups, &config.advantage, max_tokens);
    let mut first_turns = first_turns(batch, groups, config).into_iter();
    let rows = batch.rewards.iter().zip(advantages.into_iter().flatten());
    rows.map(|(row, advantage)| Advantage {
        prompt_id: row.prompt_id,
        completion_idx: row.completion_idx,
        advantage,
        first_turn: row.first_turn.and_then(|_| first_turns.next()),
        reward: row.reward,
    })
    .collect()
}

/// The advantages of first turns that are credited apart, each by its reward against the same turn of its siblings: as the
/// section says, without what it says of terms, lengths and answers, which are of the last turn.
fn first_turns(batch: &RewardBatch, groups: &[ScoredGroup<'_>], config: &Config) -> Vec<f32> {
    let scored = |row: &RewardRow| Scored { reward: row.first_turn, ..Scored::default() };
    let turns: Vec<ScoredGroup<'_>> = batch
        .groups()
        .zip(groups)
        .filter(|(rows, _)| rows.iter().any(|row| row.first_turn.is_some()))
        .map(|(rows, group)| ScoredGroup {
            completions: rows.iter().filter(|row| row.first_turn.is_some()).map(scored).collect(),
            weight: group.weight,
        })
        .collect();
    if turns.is_empty() {
        return Vec::new();
    }
    let config = AdvantageConfig {
        aggregate: Aggregate::SumThenNormalize,
        absolute: None,
        curriculum: None,
        overlong: None,
        truth: None,
        ..config.advantage.clone()
    };
    vrft_objective::advantages(&turns, &config, usize::MAX).concat()
}

/// What was earned, and how many groups teach nothing; where several tasks are learned also by task.
fn note_metrics(
    node: &mut Node,
    step: u64,
    batch: &RewardBatch,
    details: &Details,
    config: &Config,
) {
    let groups: Vec<&[RewardRow]> = batch.groups().collect();
    for (name, mean) in means::means(batch.rewards.iter()) {
        node.metric(step, format!("reward/{name}/mean"), mean);
    }
    let firsts: Vec<f32> = batch.rewards.iter().filter_map(|row| row.first_turn).collect();
    if !firsts.is_empty() {
        let sum: f64 = firsts.iter().map(|reward| f64::from(*reward)).sum();
        node.metric(step, "reward/first_turn/mean", sum / firsts.len() as f64);
    }
    note_gains(node, step, batch);
    let unscored = batch.rewards.iter().filter(|row| row.reward.is_none()).count();
    node.metric(step, "reward/unscored", unscored as f64);
    node.metric(step, "reward/zero_std_groups", share_of_equal(&groups));
    for source in &config.data.sources {
        let of_task = details.tasks.iter().zip(&groups).filter(|(task, _)| **task == source.task);
        let groups: Vec<&[RewardRow]> = of_task.map(|(_, group)| *group).collect();
        if groups.is_empty() {
            continue;
        }
        let task = |name: &str| format!("task/{}/{name}", source.task);
        for (name, mean) in means::means(groups.iter().copied().flatten()) {
            node.metric(step, task(&format!("reward/{name}/mean")), mean);
        }
        node.metric(step, task("prompts"), groups.len() as f64);
        node.metric(step, task("zero_std_groups"), share_of_equal(&groups));
    }
}

/// Variance of the advantages of the step's completions: 0 where nothing is better than anything else.
fn variance(advantages: &[Advantage], details: &Details) -> f64 {
    let sampled = advantages.iter().enumerate().filter(|(idx, _)| !details.is_shown(*idx));
    let values: Vec<f64> = sampled.map(|(_, row)| f64::from(row.advantage)).collect();
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n
}

/// Of corrections, the shares that made the answer better and worse.
fn note_gains(node: &mut Node, step: u64, batch: &RewardBatch) {
    let terms = batch.rewards.iter().flat_map(|row| &row.terms);
    let gains: Vec<f32> = terms.filter(|term| term.name == GAIN).map(|term| term.value).collect();
    if gains.is_empty() {
        return;
    }
    let share = |is: fn(&&f32) -> bool| gains.iter().filter(is).count() as f64 / gains.len() as f64;
    node.metric(step, "correction/better", share(|gain| **gain > 0.0));
    node.metric(step, "correction/worse", share(|gain| **gain < 0.0));
}

/// Share of true answers that the policy learns from: no completion earned as much.
fn share_of_used_truths(advantages: &[Advantage], details: &Details) -> f64 {
    let truths = advantages.iter().enumerate().filter(|(idx, _)| details.is_shown(*idx));
    let used = truths.clone().filter(|(_, row)| row.advantage != 0.0).count();
    used as f64 / truths.count() as f64
}

/// Share of groups whose completions did equally well.
fn share_of_equal(groups: &[&[RewardRow]]) -> f64 {
    let equal =
        |group: &&&[RewardRow]| group.windows(2).all(|pair| pair[0].reward == pair[1].reward);
    groups.iter().filter(equal).count() as f64 / groups.len() as f64
}
