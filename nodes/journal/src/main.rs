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
use eyre::{WrapErr, ensure, eyre};
use tracing::{info, warn};
use vrft_messages::{CompletionBatch, CompletionRow, Prompt};
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
            info!(
                prompts = logged.n_prompts(),
                run = vrft_config::shown(&run),
                "Read the groups of a run."
            );
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
        let groups = batch.prompts.iter().map(|prompt| answers(prompt, learner, logged));
        let groups = groups.collect::<eyre::Result<Vec<_>>>()?;
        let completions: Vec<CompletionRow> = groups.into_iter().flatten().collect();
        let staleness = completions.iter().map(|row| lineage.staleness(step, row.policy_version));
        node.metric(step, "replay/staleness", staleness.max().unwrap_or(0) as f64);
        node.send(&REPLAYED, &CompletionBatch { completions })?;
        node.send_metrics()?;
    }
    node.finish()
}

/// What was logged for a prompt, under the number that it is asked by now.
///
/// # Errors
/// A prompt that was not logged, or was another question.
fn answers(
    prompt: &Prompt,
    learner: &LearnerConfig,
    logged: &Logged,
) -> eyre::Result<Vec<CompletionRow>> {
    let prompt_id = prompt.prompt_id;
    let original = learner.original_of(prompt_id);
    let group = logged.group(original).ok_or_else(|| {
        let (n, first) = (logged.n_prompts(), logged.first().unwrap_or_default());
        // A remedy that leads to the same error again is none: what follows the first prompt of this run counts.
        let remedy = match logged.n_from(learner.first_prompt) {
            0 => format!("write learner.first_prompt = {first}"),
            left => format!(
                "take fewer learner.steps, or write learner.distinct_prompts = {left} to pass over those from \
                 learner.first_prompt = {} on again",
                learner.first_prompt
            ),
        };
        eyre!("prompt {original} was not logged, only {n} prompts from {first} on: {remedy}")
    })?;
    for row in group {
        let (then, now) = ((&row.task, &row.answer), (&prompt.task, &prompt.answer));
        ensure!(
            then == now,
            "prompt {original} was logged as a question of task {:?} with the true answer {:?}, and is now one of task \
             {:?} with {:?}: take [data], run.seed and sft.answer_prefix from the config.toml of the run that was logged",
            then.0,
            then.1,
            now.0,
            now.1
        );
    }
    Ok(group.iter().map(|row| CompletionRow { prompt_id, ..row.clone() }).collect())
}
