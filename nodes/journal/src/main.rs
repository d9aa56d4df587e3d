//! The journal: writes the groups of a run down as they come, or plays those of an earlier run back.
//!
//! Played back, it stands where the rollout stood: each prompt gets the completions that were logged for it, with
//! the logprobs they were sampled with, so that rewards, advantages and losses can be tried without sampling again.

mod lineage;
mod ports;
mod records;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use clap::Parser;
use eyre::{WrapErr, eyre};
use tracing::{info, warn};
use vrft_messages::CompletionBatch;
use vrft_node::Node;
use vrft_plan::LearnerConfig;

use crate::lineage::Lineage;
use crate::ports::{GROUPS, PORTS, PROMPTS, REPLAYED};
use crate::records::{Logged, Records};

/// Keeps the groups of a run.
#[derive(Parser)]
struct Arguments {
    /// Play back the groups of this run folder instead.
    #[arg(long, value_name = "RUN")]
    replay: Option<PathBuf>,
}

/// Names the run folder to play back, instead of the one in the graph.
const REPLAY_VARIABLE: &str = "VRFT_REPLAY";

fn main() -> std::process::ExitCode {
    vrft_node::exit(start())
}

fn start() -> eyre::Result<()> {
    let arguments = Arguments::parse();
    let document = vrft_node::load_document()?;
    let learner: LearnerConfig = document.section()?;
    match arguments.replay {
        None => write(Node::join(&PORTS, &document)?, &learner),
        Some(run) => {
            let run = std::env::var_os(REPLAY_VARIABLE).map_or(run, PathBuf::from);
            let logged = Logged::read(&run).wrap_err_with(|| {
                format!("no groups to replay; {REPLAY_VARIABLE} names the run")
            })?;
            info!(prompts = logged.n_prompts(), run = %run.display(), "Read the groups of a run.");
            let lineage = Lineage::of(&run, &document);
            if let Lineage::Start(differs) = &lineage {
                warn!(
                    differs,
                    "The groups were sampled under other settings: after the first step they are off-policy, as \
                     replay/staleness says."
                );
            }
            replay(Node::join(&PORTS, &document)?, &learner, &logged, &lineage)
        }
    }
}

/// Writes one file per learner step.
fn write(mut node: Node, learner: &LearnerConfig) -> eyre::Result<()> {
    let records = Records::open(node.run_dir())?;
    while let Some(batch) = node.recv(&GROUPS)? {
        let Some(first) = batch.completions.first() else { continue };
        let step = learner.step_of(first.prompt_id);
        node.timed(step, "journal", |_| records.write(step, &batch))?;
        node.send_metrics()?;
    }
    node.finish()
}

/// Answers prompts with what was logged for them.
fn replay(
    mut node: Node,
    learner: &LearnerConfig,
    logged: &Logged,
    lineage: &Lineage,
) -> eyre::Result<()> {
    while let Some(batch) = node.recv(&PROMPTS)? {
        let Some(first) = batch.prompts.first() else { continue };
        let step = learner.step_of(first.prompt_id);
        let groups = batch.prompts.iter().map(|prompt| {
            let id = prompt.prompt_id;
            logged.group(id).ok_or_else(|| {
                eyre!(
                    "prompt {id} was not logged, only {} prompts from {} on: take fewer learner.steps or the \
                     learner.prompts_per_step of that run",
                    logged.n_prompts(),
                    logged.first().unwrap_or_default()
                )
            })
        });
        let groups = groups.collect::<eyre::Result<Vec<_>>>()?;
        let completions: Vec<_> = groups.into_iter().flatten().cloned().collect();
        let staleness = completions.iter().map(|row| lineage.staleness(step, row.policy_version));
        node.metric(step, "replay/staleness", staleness.max().unwrap_or(0) as f64);
        node.send(&REPLAYED, &CompletionBatch { completions })?;
        node.send_metrics()?;
    }
    node.finish()
}
