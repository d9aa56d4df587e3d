//! The pool: shares prompts out to several rollouts and puts their groups together again.
//!
//! To the rest of the graph it is one rollout: one batch of groups for each batch of prompts, in order, whoever
//! sampled them and whenever they came. Its input `NAME` brings the groups of a rollout, its output `NAME` takes
//! prompts to it.

mod pool;
mod ports;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use eyre::ensure;
use tracing::warn;
use vrft_config::{ConfigError, Document};
use vrft_messages::CompletionBatch;
use vrft_node::ports::{AnyInput, Input};
use vrft_node::{Node, Waited};
use vrft_plan::{LearnerConfig, OnLoss, PoolConfig};

use crate::pool::{Pool, Share, Whole};
use crate::ports::{GROUPS, PORTS, PROMPTS, ROLLOUTS, SHARES};

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
    pub(crate) pool: PoolConfig,
    pub(crate) learner: LearnerConfig,
}

impl Config {
    pub(crate) fn read(document: &Document) -> Result<Self, ConfigError> {
        Ok(Self { pool: document.section()?, learner: document.section()? })
    }
}

/// Passes prompts on and groups back until the prompts end.
fn run(mut node: Node, config: &Config) -> eyre::Result<()> {
    let rollouts: BTreeMap<String, Input<CompletionBatch>> =
        node.others(&ROLLOUTS).into_iter().map(|input| (input.name().to_owned(), input)).collect();
    let names: Vec<String> = rollouts.keys().cloned().collect();
    let patience = Duration::from_secs_f64(config.pool.patience_secs);
    let mut pool = Pool::new(&names, config.pool.units_per_rollout);
    let mut ended = false;
    while !ended || pool.is_busy() {
        let present = rollouts.iter().filter(|(name, _)| pool.has(name));
        let mut inputs: Vec<&dyn AnyInput> =
            present.map(|(_, input)| input as &dyn AnyInput).collect();
        let prompts: &dyn AnyInput = &PROMPTS;
        inputs.extend((!ended).then_some(prompts));
        let due = pool.longest_work().filter(|_| !patience.is_zero()).map(|since| since + patience);
        match node.wait(&inputs, due)? {
            Waited::Message(input) if input == PROMPTS.name() => {
                node.recv(&PROMPTS)?.into_iter().for_each(|batch| pool.add(batch));
            }
            Waited::Message(input) => {
                if let Some(batch) = node.recv(&rollouts[&input])? {
                    pool.take(&input, batch)?;
                }
            }
            Waited::Ended(input) => ended |= input == PROMPTS.name(),
            Waited::Lost(input) => pool.lose(&input, Instant::now()),
            Waited::Nothing => pass_over_who_lags(&mut pool, config, patience)?,
            Waited::Over => break,
        }
        let shares = pool.deal(Instant::now())?;
        send(&mut node, config, &shares)?;
        while let Some(whole) = pool.next_whole() {
            note_metrics(&mut node, config, &whole, pool.n_active());
            node.send(&GROUPS, &whole.groups)?;
            node.send_metrics()?;
        }
    }
    node.finish()
}

fn send(node: &mut Node, config: &Config, shares: &[Share]) -> eyre::Result<()> {
    for share in shares {
        if let Some(first) = share.batch.prompts.first().filter(|_| share.again) {
            let step = config.learner.step_of(first.prompt_id);
            node.metric(step, "pool/reassigned", share.batch.prompts.len() as f64);
        }
        node.send(&SHARES.named(&share.rollout), &share.batch)?;
    }
    Ok(())
}

/// Gives the unit of a rollout that takes too long to another.
fn pass_over_who_lags(pool: &mut Pool, config: &Config, patience: Duration) -> eyre::Result<()> {
    let now = Instant::now();
    let Some((rollout, owed)) = pool.overdue(now, patience) else { return Ok(()) };
    ensure!(
        config.pool.on_loss == OnLoss::Survive,
        "rollout {rollout:?} has not answered prompts {owed:?} within {patience:?}: raise pool.patience_secs, or set \
         pool.on_loss = \"survive\" to give them to another"
    );
    warn!(rollout, ?owed, "A rollout lags; its prompts go to another.");
    pool.pass_over(&rollout, now)
}

/// How many rollouts there are, and how many prompts of the step each has answered.
fn note_metrics(node: &mut Node, config: &Config, whole: &Whole, n_active: usize) {
    let Some(first) = whole.groups.completions.first() else { return };
    let step = config.learner.step_of(first.prompt_id);
    node.metric(step, "pool/rollouts", n_active as f64);
    for (rollout, n_prompts) in &whole.answered {
        node.metric(step, format!("pool/prompts/{rollout}"), *n_prompts as f64);
    }
}
