//! What a policy would earn, from the answers that an earlier run recorded: nothing is sampled.

use std::collections::BTreeMap;
use std::path::Path;

use eyre::{WrapErr, bail, ensure, eyre};
use serde_json::json;
use tracing::{info, warn};
use vrft_checkpoint::PolicyConfig;
use vrft_config::{ConfigError, Document};
use vrft_evaluate::{
    LoggedAnswer, LoggedQuestion, OffPolicyEstimate, check_estimate, estimate_off_policy,
};
use vrft_messages::{CompletionRow, Credit, Prompt, RewardRow};
use vrft_model::{LoadOptions, PackedGroup, Policy};
use vrft_node::Node;
use vrft_plan::{Device, LearnerConfig, RolloutConfig};
use vrft_processor::Processor;

use crate::ports::{CREDIT, GROUPS, PORTS, PROMPTS, REWARDS};

/// The file in the run folder.
const FILE: &str = "estimate.json";

/// What the estimate depends on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    pub(crate) policy: PolicyConfig,
    pub(crate) rollout: RolloutConfig,
    pub(crate) learner: LearnerConfig,
    pub(crate) device: Device,
    /// Effective share of the answers that an estimate needs.
    pub(crate) min_effective: f64,
}

impl Settings {
    pub(crate) fn read(document: &Document, min_effective: f64) -> Result<Self, ConfigError> {
        let evaluation: vrft_dataset::EvaluationConfig = document.section()?;
        Ok(Self {
            policy: document.section()?,
            rollout: document.section()?,
            learner: document.section()?,
            device: evaluation.device,
            min_effective,
        })
    }
}

pub(crate) fn start(document: &Document, min_effective: f64) -> eyre::Result<()> {
    let mut settings = Settings::read(document, min_effective)?;
    check_estimate(&settings.rollout, min_effective).map_err(|why| eyre!(why))?;
    settings.policy.path =
        vrft_checkpoint::checkpoint_dir(&settings.policy.path).wrap_err("policy.path")?;
    let policy = &settings.policy;
    let device = vrft_model::open_device("evaluation.device", settings.device)?;
    let options = LoadOptions::new(policy, device, false);
    let loaded = Policy::load_beside(&policy.path, policy.base.as_deref(), &options);
    let loaded = loaded.wrap_err("policy.path")?;
    let processor = Processor::of(policy)?;
    run(Node::join(&PORTS, document)?, &settings, &loaded, &processor)
}

/// Weighs the recorded answers to all prompts of the run, and writes the estimate down.
pub(crate) fn run(
    mut node: Node,
    settings: &Settings,
    policy: &Policy,
    processor: &Processor,
) -> eyre::Result<()> {
    let mut questions: BTreeMap<String, LoggedQuestion> = BTreeMap::new();
    let mut n_unscored = 0;
    for step in 0..settings.learner.steps {
        node.send(&CREDIT, &credit(&settings.learner, step))?;
        let Some(prompts) = node.recv(&PROMPTS)? else { break };
        let Some(groups) = node.recv(&GROUPS)? else { break };
        let Some(rewards) = node.recv(&REWARDS)? else { break };
        let (n, m) = (groups.completions.len(), rewards.rewards.len());
        ensure!(n == m, "{n} recorded answers but {m} rewards in one step");
        let mut earned = rewards.rewards.iter();
        let weighed = node.timed(step + 1, "evaluator", |_| -> eyre::Result<()> {
            for (prompt, group) in prompts.prompts.iter().zip(groups.groups()) {
                let earned: Vec<&RewardRow> = earned.by_ref().take(group.len()).collect();
                let answers = weigh(policy, processor, settings, prompt, group, &earned)?;
                n_unscored += group.len() - answers.len();
                questions.entry(prompt.sample_id.clone()).or_default().push(answers);
            }
            Ok(())
        });
        weighed?;
        node.send_metrics()?;
    }
    if n_unscored > 0 {
        warn!(answers = n_unscored, "Recorded answers without a reward are left out.");
    }
    let questions: Vec<LoggedQuestion> = questions.into_values().collect();
    let estimate = estimate_off_policy(&questions, settings.min_effective)?;
    note(&mut node, settings, &estimate)?;
    node.finish()
}

/// Leave for the prompts of one step, counted from 0. What a version is asked for does not matter: nothing is sampled.
fn credit(learner: &LearnerConfig, batch: u64) -> Credit {
    Credit {
        prompts: learner.prompts_per_step as u32,
        policy_version: 0,
        first_prompt_id: learner.first_prompt_of(batch),
    }
}

/// The answers of a group that have a reward, each with its weight.
fn weigh(
    policy: &Policy,
    processor: &Processor,
    settings: &Settings,
    prompt: &Prompt,
    group: &[CompletionRow],
    earned: &[&RewardRow],
) -> eyre::Result<Vec<LoggedAnswer>> {
    let asked = prompt.prompt_id;
    for (row, reward) in group.iter().zip(earned) {
        let (row, reward) =
            ((row.prompt_id, row.completion_idx), (reward.prompt_id, reward.completion_idx));
        ensure!(
            row.0 == asked && row == reward,
            "prompt {asked}: expected its recorded answers with their rewards, got the answer {row:?} (prompt, place in \
             its group) and the reward of {reward:?}"
        );
    }
    // A true answer that was shown beside them is nobody's sample.
    let sampled = || group.iter().zip(earned).filter(|(row, _)| !row.completion.is_shown());
    let completions: Vec<&[u32]> =
        sampled().map(|(row, _)| row.completion.token_ids.as_slice()).collect();
    if completions.is_empty() {
        bail!("prompt {asked} has no recorded answer that a policy sampled");
    }
    let encoded = vrft_rollout::encode(processor, prompt)?;
    // Replies of tools and others within an answer are read by the policy, and are no choice of its own.
    let replies = sampled().map(|(row, _)| vrft_rollout::insertions(processor, &row.completion));
    let replies = replies
        .collect::<Result<Vec<_>, _>>()
        .wrap_err_with(|| format!("a reply within a recorded answer to prompt {asked}"))?;
    let is_interrupted = replies.iter().any(|replies| !replies.is_empty());
    let inserted: Vec<_> = replies.iter().filter(|_| is_interrupted).map(Vec::as_slice).collect();
    let packed = PackedGroup { prompt: &encoded, completions: &completions, inserted: &inserted };
    let logprobs = policy.logprobs(&[packed], settings.rollout.temperature)?.numbers()?;
    let mut rest = &logprobs[..];
    let answers = sampled().filter_map(|(row, earned)| {
        let (now, others) = rest.split_at(row.completion.token_ids.len());
        rest = others;
        let then = row.completion.logprobs.iter();
        let log_weight = now.iter().zip(then).map(|(now, then)| f64::from(*now) - f64::from(*then));
        let reward = f64::from(earned.reward.filter(|reward| reward.is_finite())?);
        Some(LoggedAnswer { log_weight: log_weight.sum(), reward })
    });
    Ok(answers.collect())
}

/// Into the log, the metrics and the run folder.
fn note(node: &mut Node, settings: &Settings, estimate: &OffPolicyEstimate) -> eyre::Result<()> {
    let OffPolicyEstimate { value, interval: (low, high), logged, gain, .. } = estimate;
    info!(
        "Estimate: expected reward {value:.4} (95 % {low:.4} to {high:.4}); the logged answers earned {logged:.4}; gain \
         {:.4} to {:.4}; {:.0} % of {} answers to {} questions count.",
        gain.0,
        gain.1,
        100.0 * estimate.effective_share,
        estimate.n_answers,
        estimate.n_questions
    );
    for (name, value) in [
        ("estimate/reward", estimate.value),
        ("estimate/unbiased", estimate.unbiased),
        ("estimate/logged", estimate.logged),
        ("estimate/effective_share", estimate.effective_share),
    ] {
        node.metric(settings.learner.steps, name, value);
    }
    let written = json!({
        "policy": settings.policy.path,
        "temperature": settings.rollout.temperature,
        "estimate": estimate,
    });
    let path: &Path = &node.run_dir().join(FILE);
    std::fs::write(path, serde_json::to_string_pretty(&written)?)
        .wrap_err_with(|| format!("cannot write {path:?}"))
}
