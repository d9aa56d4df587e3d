//! The case: what the nodes of a graph would hold, and one step through all of them.

use std::path::PathBuf;

use eyre::WrapErr;
use vrft_checkpoint::{Dtype, PolicyConfig};
use vrft_learner::{
    Learner, MemoryEstimate, PromptSize, StepStats, TrainCompletion, TrainGroup, TrainSettings,
};
use vrft_model::{LoadOptions, Policy};
use vrft_processor::{EncodedPrompt, Processor};
use vrft_rollout::{Completion, Sampling};

use crate::bench::image::noise;
use crate::bench::phases::StepTimes;
use crate::cli::{BenchDtype, BenchOptions};
use crate::config::Config;

const SENTENCE: &str = "Detect all objects in this image and return boxes with confidence. ";
/// The question of `trl_grpo_step.py`: the sentence three times.
const REPEATS: usize = 3;

/// Rollout and learner with their policies, and the questions.
pub(crate) struct Case {
    config: Config,
    processor: Processor,
    rollout_policy: Policy,
    learner: Learner,
    store: vrft_weights::Store,
    images: Vec<Vec<u8>>,
    /// Tokens of one prompt.
    pub(crate) n_prompt_tokens: usize,
    /// What the memory should be at most.
    pub(crate) estimated_bytes: usize,
    /// Where versions are written; removed at the end.
    _folder: tempfile::TempDir,
}

impl Case {
    pub(crate) fn load(options: &BenchOptions) -> eyre::Result<Self> {
        let checkpoint = options.loading.find(&options.checkpoint)?.checkpoint;
        let config = config_of(options, checkpoint);
        let folder = tempfile::tempdir().wrap_err("cannot make a folder for the weights")?;
        let load = |trainable| {
            let device = vrft_model::open_device("--device", options.device)?;
            let options = LoadOptions::new(&config.policy, device, trainable);
            let base = config.policy.base.as_deref();
            Policy::load_beside(&config.policy.path, base, &options).wrap_err("--checkpoint")
        };
        let reference = config.loss.needs_reference().then(|| load(false)).transpose()?;
        let settings = TrainSettings {
            optimizer: &config.optimizer,
            loss: &config.loss,
            learner: &config.learner,
            temperature: config.rollout.temperature,
            max_completion_tokens: config.rollout.max_completion_tokens,
        };
        let learner = Learner::new(load(true)?, reference, &settings)?;
        let base = config.policy.base.as_deref();
        let processor = Processor::load_beside(&config.policy.path, base)?;
        let images: Vec<_> = (0..8).map(|seed| noise(options.pixels, seed + 1)).collect();
        let text = SENTENCE.repeat(REPEATS);
        let prompt = processor.encode(None, &text, &[&images[0]])?;
        let n_prompt_tokens = prompt.token_ids.len();
        let size = PromptSize::of(&prompt);
        let estimate = MemoryEstimate::new(&config.memory(), learner.policy().config(), size)?;
        Ok(Self {
            rollout_policy: load(false)?,
            learner,
            processor,
            store: vrft_weights::Store::new(folder.path())?,
            images,
            n_prompt_tokens,
            estimated_bytes: estimate.of_one_process(),
            config,
            _folder: folder,
        })
    }

    /// One step of everything.
    pub(crate) fn step(&mut self, step_idx: usize) -> eyre::Result<StepTimes> {
        let mut times = StepTimes::default();
        let prompts = times.timed("prepare", || self.prompts(step_idx))?;
        let before = vrft_kernels::gemm_flops();
        let groups = times.timed("rollout", || self.sample(&prompts, step_idx))?;
        times.rollout_flops = vrft_kernels::gemm_flops() - before;
        let advantages = times.timed("reward_and_advantage", || self.judge(&groups));
        // The learner node is sent images and encodes them itself.
        let prompts = times.timed("prepare", || self.prompts(step_idx))?;
        let groups = train_groups(prompts, groups, advantages);
        let before = vrft_kernels::gemm_flops();
        let start = std::time::Instant::now();
        let stats = self.learner.grpo_step(&groups)?;
        times.learner_secs = start.elapsed().as_secs_f64();
        times.learner_flops = vrft_kernels::gemm_flops() - before;
        note_learner(&mut times, &stats);
        let version = times.timed("publish_weights", || {
            let tensors = self.learner.policy().version()?;
            Ok::<_, eyre::Report>(self.store.publish(self.learner.step(), &tensors)?)
        })?;
        times.timed("load_weights", || -> eyre::Result<()> {
            self.rollout_policy.take_weights(vrft_weights::fetch(&version)?)?;
            Ok(self.store.remove_below(version.version)?)
        })?;
        Ok(times)
    }

    fn prompts(&self, step_idx: usize) -> eyre::Result<Vec<EncodedPrompt>> {
        let n = self.config.learner.prompts_per_step;
        let text = SENTENCE.repeat(REPEATS);
        let encode = |idx: usize| {
            let image = &self.images[idx % self.images.len()];
            Ok(self.processor.encode(None, &text, &[image])?)
        };
        (step_idx * n..(step_idx + 1) * n).map(encode).collect()
    }

    fn sample(
        &self,
        prompts: &[EncodedPrompt],
        step_idx: usize,
    ) -> eyre::Result<Vec<Vec<Completion>>> {
        let rollout = &self.config.rollout;
        let sampling =
            Sampling { min_tokens: rollout.max_completion_tokens, ..Sampling::from(rollout) };
        let seed = |prompt, completion| {
            vrft_rollout::completion_seed(0, step_idx as u64, prompt as u64, completion as u16)
        };
        let prompts: Vec<_> = prompts.iter().collect();
        let size = rollout.group_size;
        Ok(vrft_rollout::generate(
            &self.rollout_policy,
            &self.processor,
            &prompts,
            size,
            &sampling,
            &seed,
        )?)
    }

    /// Rewards without meaning, as the peer's: a hash of the completion.
    fn judge(&self, groups: &[Vec<Completion>]) -> Vec<Vec<f32>> {
        let reward = |completion: &Completion| {
            let hash = completion.token_ids.iter().fold(completion.seed, |hash, id| {
                (hash ^ u64::from(*id)).wrapping_mul(0x100_0000_01b3)
            });
            Some((hash >> 40) as f32 / (1u64 << 24) as f32)
        };
        let rewards = groups.iter().map(|group| group.iter().map(reward).collect::<Vec<_>>());
        rewards
            .map(|rewards| vrft_objective::group_advantages(&rewards, &self.config.advantage))
            .collect()
    }
}

fn config_of(options: &BenchOptions, checkpoint: PathBuf) -> Config {
    let mut config = Config {
        policy: PolicyConfig {
            path: checkpoint,
            base: options.loading.base.clone(),
            dtype: match options.dtype {
                BenchDtype::F32 => Dtype::F32,
                BenchDtype::Bf16 => Dtype::Bf16,
            },
            ..PolicyConfig::default()
        },
        ..Config::default()
    };
    config.rollout.group_size = options.group;
    config.rollout.max_completion_tokens = options.tokens;
    config.rollout.stop = Vec::new();
    config.loss.kl_coef = options.beta;
    config.learner.prompts_per_step = options.prompts;
    config.learner.steps = options.steps as u64;
    config
}

fn train_groups(
    prompts: Vec<EncodedPrompt>,
    groups: Vec<Vec<Completion>>,
    advantages: Vec<Vec<f32>>,
) -> Vec<TrainGroup> {
    let groups = prompts.into_iter().zip(groups).zip(advantages).enumerate();
    let groups = groups.map(|(idx, ((prompt, completions), advantages))| TrainGroup {
        prompt_id: idx as u64,
        hinted: None,
        prompt,
        completions: completions
            .into_iter()
            .zip(advantages)
            .map(|(completion, advantage)| TrainCompletion {
                token_ids: completion.token_ids,
                old_logprobs: completion.logprobs,
                advantage,
                truncated: false,
                is_scored: true,
                origin: vrft_learner::Origin::Sampled,
                inserted: vec![],
                first_turn: None,
            })
            .collect(),
    });
    groups.collect()
}

fn note_learner(times: &mut StepTimes, stats: &StepStats) {
    for phase in ["reference", "forward_backward", "optimizer"] {
        let secs = stats.metrics.get(&format!("time/learner/{phase}_secs"));
        times.add(phase, secs.copied().unwrap_or_default());
    }
}
