//! The pool: shares prompts out to several rollouts and puts their groups together again.
//!
//! To the rest of the graph it is one rollout: one batch of groups for each batch of prompts, in order, whoever
//! sampled them and whenever they came. Its input `NAME` brings the groups of a rollout, its output `NAME` takes
//! that rollout's share of the prompts to it.

mod pool;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use eyre::ensure;
use tracing::warn;
use vrft_config::{ConfigError, Document};
use vrft_messages::{CompletionBatch, PromptBatch};
use vrft_node::{Node, Waited};
use vrft_plan::{LearnerConfig, OnLoss, PoolConfig};

use crate::pool::{Pool, Share};

/// Input with the prompts of the loader; the others are rollouts.
const PROMPTS: &str = "prompts";

fn main() -> std::process::ExitCode {
    vrft_node::exit(start())
}

fn start() -> eyre::Result<()> {
    let document = vrft_node::load_document()?;
    let config = Config::read(&document)?;
    run(Node::join(&document)?, &config)
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
    let rollouts = node.inputs().into_iter().filter(|id| id != PROMPTS);
    let rollouts: Vec<String> = rollouts.collect();
    let patience = Duration::from_secs_f64(config.pool.patience_secs);
    let mut pool = Pool::new(&rollouts);
    let mut ended = false;
    while !ended || pool.is_busy() {
        let present: Vec<String> = pool.present().map(str::to_owned).collect();
        let inputs = present.iter().map(String::as_str).chain(Some(PROMPTS).filter(|_| !ended));
        let inputs: Vec<&str> = inputs.collect();
        let due = pool.oldest_debt().filter(|_| !patience.is_zero()).map(|since| since + patience);
        let shares = match node.wait(&inputs, due)? {
            Waited::Message(input) if input == PROMPTS => {
                match node.recv::<PromptBatch>(PROMPTS)? {
                    Some(batch) => pool.share_out(batch, Instant::now())?,
                    None => vec![],
                }
            }
            Waited::Message(input) => {
                if let Some(batch) = node.recv::<CompletionBatch>(&input)? {
                    pool.take(&input, batch)?;
                }
                vec![]
            }
            Waited::Ended(input) => {
                ended |= input == PROMPTS;
                vec![]
            }
            Waited::Lost(input) => pool.lose(&input, Instant::now())?,
            Waited::Nothing => lagging(&mut pool, config, patience)?,
            Waited::Over => break,
        };
        send(&mut node, config, &shares)?;
        while let Some(groups) = pool.next_whole() {
            note_metrics(&mut node, config, &groups, &pool);
            node.send("groups", &groups)?;
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
        node.send(&share.rollout, &share.batch)?;
    }
    Ok(())
}

/// Somebody has owed groups for too long.
fn lagging(pool: &mut Pool, config: &Config, patience: Duration) -> eyre::Result<Vec<Share>> {
    let now = Instant::now();
    let Some((rollout, owed)) = pool.overdue(now, patience) else { return Ok(vec![]) };
    ensure!(
        config.pool.on_loss == OnLoss::Survive,
        "rollout {rollout:?} has not answered prompts {owed:?} within {patience:?}: raise pool.patience_secs, or set \
         pool.on_loss = \"survive\" to give them to another"
    );
    warn!(rollout, ?owed, "A rollout lags; its prompts go to the others.");
    pool.pass_over(&rollout, now)
}

fn note_metrics(node: &mut Node, config: &Config, groups: &CompletionBatch, pool: &Pool) {
    if let Some(first) = groups.completions.first() {
        let step = config.learner.step_of(first.prompt_id);
        node.metric(step, "pool/rollouts", pool.n_in_turn() as f64);
    }
}
