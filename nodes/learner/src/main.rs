//! The learner: owns the optimizer, hands out credit, publishes each policy version.

mod config;
mod grpo;
mod join;
mod ports;
mod refill;
mod samples;
mod sft;
mod store;
#[cfg(test)]
mod tests;

use std::path::Path;

use clap::{Parser, ValueEnum};
use eyre::WrapErr;
use vrft_learner::{Learner, TrainSettings, check_offline};
use vrft_model::{LoadOptions, Policy, SharedWeights};
use vrft_node::Node;
use vrft_objective::config::LossConfig;
use vrft_processor::Processor;

use crate::config::Config;

/// Learns from what the graph sends it.
#[derive(Parser)]
struct Arguments {
    /// What is learned from: rewards or true answers.
    #[arg(long = "objective", value_enum, default_value = "grpo")]
    training: Training,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Training {
    /// Reinforcement fine-tuning: the policy learns from the rewards of its own answers, by the objective of `[loss]`.
    #[value(name = "grpo")]
    Reinforcement,
    /// The same objective, from the rewards of answers that were sampled before: no version of the policy is given out.
    #[value(name = "offline")]
    Offline,
    /// Supervised fine-tuning: the policy learns the true answers themselves. It is the baseline.
    #[value(name = "sft")]
    Supervised,
}

fn main() -> std::process::ExitCode {
    vrft_node::exit(start())
}

fn start() -> eyre::Result<()> {
    vrft_kernels::keep_freed_memory();
    let arguments = Arguments::parse();
    let document = vrft_node::load_document()?;
    let mut config = Config::read(&document)?;
    if arguments.training == Training::Offline {
        check_offline(&config.rollout)?;
    }
    config.policy.path =
        vrft_checkpoint::checkpoint_dir(&config.policy.path).wrap_err("policy.path")?;
    let shared = SharedWeights::default();
    let learner = load(&config, arguments.training, &shared)?;
    let processor = Processor::of(&config.policy)?;
    let node = Node::join(&ports::PORTS, &document)?;
    match arguments.training {
        Training::Reinforcement | Training::Offline => {
            grpo::run(node, &config, learner, &processor)?;
        }
        Training::Supervised => sft::run(node, &config, learner, &processor)?,
    }
    shared.finish();
    Ok(())
}

fn load(config: &Config, training: Training, shared: &SharedWeights) -> eyre::Result<Learner> {
    let policy = load_policy(config, true, Some(shared))?;
    let (optimizer, loss, temperature) = match training {
        Training::Reinforcement | Training::Offline => {
            (&config.optimizer, config.loss.clone(), config.rollout.temperature)
        }
        // A demonstration was not sampled: no temperature, and nothing to stay near to.
        Training::Supervised => {
            let loss = LossConfig { kl_coef: 0.0, ..LossConfig::default() };
            (&config.sft.optimizer, loss, 1.0)
        }
    };
    let needs_reference = loss.needs_reference() && !policy.has_adapters();
    let reference = needs_reference.then(|| load_policy(config, false, None)).transpose()?;
    let settings = TrainSettings {
        optimizer,
        loss: &loss,
        learner: &config.learner,
        temperature,
        max_completion_tokens: config.rollout.max_completion_tokens,
    };
    let learner = Learner::new(policy, reference, &settings)?;
    match (&config.rollout.group_size_adaptive, training) {
        (Some(adaptive), Training::Reinforcement) => {
            Ok(learner.with_group_size(adaptive, config.rollout.group_size))
        }
        _ => Ok(learner),
    }
}

fn load_policy(
    config: &Config,
    trainable: bool,
    shared: Option<&SharedWeights>,
) -> eyre::Result<Policy> {
    let path: &Path = &config.policy.path;
    let device = vrft_model::open_device("learner.device", config.learner.device)?;
    let options = LoadOptions::new(&config.policy, device, trainable);
    let base = config.policy.base.as_deref();
    Policy::load_shared(path, base, &options, shared).wrap_err("policy.path")
}
