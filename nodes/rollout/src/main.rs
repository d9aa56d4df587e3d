//! The rollout: the policy answers each prompt G times. Where the objective compares them with the true answer, that
//! is one more of the group.

mod announced;
mod ports;
mod tools;

use eyre::WrapErr;
use tracing::debug;
use vrft_checkpoint::PolicyConfig;
use vrft_config::{ConfigError, Document};
use vrft_learner::SftConfig;
use vrft_messages::{
    Completion, CompletionBatch, CompletionRow, FinishReason, ImageSize, PolicyAnnouncement, Prompt,
};
use vrft_model::{LoadOptions, Policy, SharedWeights};
use vrft_node::Node;
use vrft_objective::config::AdvantageConfig;
use vrft_plan::{LearnerConfig, RolloutConfig, RunConfig};
use vrft_processor::{EncodedPrompt, Processor};
use vrft_reward::Rewards;
use vrft_reward::config::RewardsConfig;
use vrft_rollout::{Generator, RolloutError, Sampling};
use vrft_vision::CoordinateSpace;
use vrft_weights::{Versions, WeightsConfig};

use crate::announced::Announced;
use crate::ports::{GROUPS, PORTS, PROMPTS};
use crate::tools::{Speaker, Tools};

fn main() -> std::process::ExitCode {
    vrft_node::exit(start())
}

fn start() -> eyre::Result<()> {
    vrft_kernels::keep_freed_memory();
    let document = vrft_node::load_document()?;
    let mut config = Config::read(&document)?;
    config.policy.path =
        vrft_checkpoint::checkpoint_dir(&config.policy.path).wrap_err("policy.path")?;
    let shared = SharedWeights::default();
    let device = shared.open_device("rollout.device", config.rollout.device)?;
    let options = LoadOptions::new(&config.policy, device, false);
    let base = config.policy.base.as_deref();
    let policy = Policy::load_shared(&config.policy.path, base, &options, Some(&shared))
        .wrap_err("policy.path")?;
    if !policy.has_adapters() && !config.policy.freeze_vision {
        policy.expect_another_tower();
    }
    let processor = Processor::of(&config.policy)?;
    run(Node::join(&PORTS, &document)?, &config, &policy, &processor)?;
    drop(policy);
    shared.finish();
    Ok(())
}

/// What the node reads of the configuration.
#[derive(Debug, Clone, Default)]
pub(crate) struct Config {
    pub(crate) run: RunConfig,
    pub(crate) policy: PolicyConfig,
    pub(crate) rollout: RolloutConfig,
    pub(crate) learner: LearnerConfig,
    pub(crate) weights: WeightsConfig,
    pub(crate) advantage: AdvantageConfig,
    pub(crate) sft: SftConfig,
    pub(crate) rewards: RewardsConfig,
}

impl Config {
    pub(crate) fn read(document: &Document) -> Result<Self, ConfigError> {
        Ok(Self {
            run: document.section()?,
            policy: document.section()?,
            rollout: document.section()?,
            learner: document.section()?,
            weights: document.section()?,
            advantage: document.section()?,
            sft: document.section()?,
            rewards: RewardsConfig::read(document)?,
        })
    }
}

/// Samples a group for every prompt, with exactly the policy version that the prompt asks for.
fn run(
    mut node: Node,
    config: &Config,
    policy: &Policy,
    processor: &Processor,
) -> eyre::Result<()> {
    let folder = node.run_dir().join("pulled").join(node.id());
    let mut versions = Versions::new(&config.weights, &node.run_name(), &folder);
    let mut announced = Announced::default();
    let mut version = None;
    let mut group_size = config.rollout.group_size;
    let tools = Tools::of(&node, config.rollout.tools.as_ref())?;
    let rewards = Rewards::new(&config.rewards);
    while let Some(batch) = node.recv(&PROMPTS)? {
        let Some(first) = batch.prompts.first() else { continue };
        let step = config.learner.step_of(first.prompt_id);
        let wanted = first.policy_version;
        if version != Some(wanted) {
            let Some(found) = announced.wait_for(&mut node, wanted)? else { break };
            node.timed(step, "policy_load", |_| load(policy, &mut versions, &found))?;
            debug!(version = wanted, "Swapped the policy.");
            version = Some(wanted);
            group_size = match found.group_size {
                0 => config.rollout.group_size,
                size => size.into(),
            };
        }
        let (tools, rewards) = (&tools, &rewards);
        let asking = Asking { config, policy, processor, tools, rewards, group_size };
        let groups =
            node.timed(step, "rollout", |node| sample(node, &asking, &batch.prompts, wanted))?;
        let Some(groups) = groups else { break };
        note_metrics(&mut node, step, &groups, tools);
        node.send(&GROUPS, &groups)?;
        node.send_metrics()?;
    }
    node.finish()
}

/// Swaps in a version: into the memory of the one before it where that is free, else beside it.
fn load(policy: &Policy, versions: &mut Versions, found: &PolicyAnnouncement) -> eyre::Result<()> {
    let failed = || format!("cannot load policy version {}", found.version);
    let overwritten = policy.overwrite_weights(|tensors| {
        versions.fetch_into(found, tensors).map_err(eyre::Report::new)
    });
    if overwritten.wrap_err_with(failed)? {
        return Ok(());
    }
    let tensors = versions.fetch(found).wrap_err_with(failed)?;
    policy.take_weights(tensors).wrap_err("the learner's policy is of another model")
}

/// All that prompts are answered with.
struct Asking<'a> {
    config: &'a Config,
    policy: &'a Policy,
    processor: &'a Processor,
    tools: &'a Tools,
    rewards: &'a Rewards,
    /// Completions of each prompt.
    group_size: usize,
}

/// Answers prompts; `None` if the run ended while a tool was asked.
fn sample(
    node: &mut Node,
    asking: &Asking<'_>,
    prompts: &[Prompt],
    policy_version: u64,
) -> eyre::Result<Option<CompletionBatch>> {
    let Asking { config, policy, processor, tools, rewards, group_size } = *asking;
    let encoded = prompts.iter().map(|prompt| vrft_rollout::encode(processor, prompt));
    let encoded = encoded.collect::<Result<Vec<EncodedPrompt>, _>>()?;
    let seed = |prompt_idx: usize, completion_idx: usize| {
        let prompt_id = prompts[prompt_idx].prompt_id;
        vrft_rollout::completion_seed(
            config.run.seed,
            policy_version,
            prompt_id,
            completion_idx as u16,
        )
    };
    let sizes = prompts.iter().map(|prompt| vrft_rollout::image_sizes(processor, prompt));
    let sizes: Vec<Vec<ImageSize>> = sizes.collect::<Result<_, _>>()?;
    let extents: Vec<Vec<[u32; 2]>> = sizes.iter().map(|sizes| extents(processor, sizes)).collect();
    let mut speaker = Speaker { node, tools, rewards, prompts, extents: &extents };
    let sampling = &Sampling::from(&config.rollout);
    let generator = Generator { policy, processor, sampling, group_size };
    let encoded: Vec<&EncodedPrompt> = encoded.iter().collect();
    let groups = match generator.in_turns(&encoded, &seed, &mut speaker) {
        Err(RolloutError::Over) => return Ok(None),
        other => other?,
    };
    let mut completions = Vec::new();
    for ((prompt, mut group), images) in prompts.iter().zip(groups).zip(sizes) {
        if config.advantage.truth.is_some() {
            let text = config.sft.demonstration(&prompt.answer);
            group.push(vrft_rollout::shown(processor, &text)?);
        }
        let rows = (0..).zip(group);
        completions.extend(
            rows.map(|(idx, completion)| row(prompt, policy_version, idx, completion, &images)),
        );
    }
    Ok(Some(CompletionBatch { completions }))
}

/// The x and y of the lower right corner of each picture, in the coordinates that models of the kind use.
fn extents(processor: &Processor, sizes: &[ImageSize]) -> Vec<[u32; 2]> {
    let extent = |size: &ImageSize| match processor.coordinates().space {
        CoordinateSpace::Thousandths => [1000; 2],
        CoordinateSpace::Resized => [size.resized_width, size.resized_height],
        CoordinateSpace::Original => [size.width, size.height],
    };
    sizes.iter().map(extent).collect()
}

fn row(
    prompt: &Prompt,
    policy_version: u64,
    completion_idx: u16,
    completion: Completion,
    images: &[ImageSize],
) -> CompletionRow {
    let own = completion.replies.iter().find(|reply| reply.tool.is_none());
    let first = own.map(|reply| reply.said.clone()).or_else(|| prompt.first());
    CompletionRow {
        prompt_id: prompt.prompt_id,
        completion_idx,
        policy_version,
        completion,
        task: prompt.task.clone(),
        answer: prompt.answer.clone(),
        first,
        images: images.to_vec(),
    }
}

fn note_metrics(node: &mut Node, step: u64, batch: &CompletionBatch, tools: &Tools) {
    let completions =
        || batch.completions.iter().map(|row| &row.completion).filter(|c| !c.is_shown());
    let n = completions().count() as f64;
    let tokens: usize = completions().map(|completion| completion.token_ids.len()).sum();
    let cut = completions().filter(|completion| completion.finish_reason == FinishReason::Length);
    node.metric(step, "completions/length/mean", tokens as f64 / n);
    node.metric(step, "completions/truncated", cut.count() as f64 / n);
    if !tools.is_empty() {
        let calls: usize = completions().map(Completion::n_calls).sum();
        node.metric(step, "completions/calls/mean", calls as f64 / n);
    }
    let corrected = completions().filter(|c| c.replies.iter().any(|reply| reply.tool.is_none()));
    let n_corrected = corrected.count();
    if n_corrected > 0 {
        node.metric(step, "completions/second_turn", n_corrected as f64 / n);
    }
}
