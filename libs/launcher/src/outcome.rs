//! How a run ended, in words that say what to do.

use std::collections::BTreeSet;
use std::path::Path;

use dora_message::common::{NodeError, NodeErrorCause};
use dora_message::coordinator_to_cli::DataflowResult;
use eyre::eyre;

use crate::progress::LogLine;

/// What a node says when it was asked to stop.
const STOPPED: &str = "Asked to stop.";

/// Tells the result of a run.
///
/// # Errors
/// The node that failed first, its last words, and how to go on.
pub(crate) fn report(
    result: eyre::Result<DataflowResult>,
    log: &[LogLine],
    run_dir: &Path,
    expendable: &BTreeSet<String>,
) -> eyre::Result<()> {
    let how_to_resume =
        format!("What was saved is in {0}; go on with `vrft run --resume {0}`.", run_dir.display());
    // Nodes that stop at different moments leave messages undelivered, which dora calls a loss.
    let was_stopped = log.iter().any(|line| line.text.contains(STOPPED));
    let result = match result {
        Err(_) if was_stopped => {
            println!("Stopped. {how_to_resume}");
            return Ok(());
        }
        other => other.map_err(|error| error.wrap_err(how_to_resume.clone()))?,
    };
    let failed: Vec<(String, &NodeError)> = result
        .node_results
        .iter()
        .filter_map(|(id, result)| Some((id.to_string(), result.as_ref().err()?)))
        .collect();
    let (lost, failed): (Vec<_>, Vec<_>) =
        failed.into_iter().partition(|(id, _)| expendable.contains(id));
    for (id, _) in &lost {
        println!("Node {id:?} was lost on the way; the others answered its prompts.");
    }
    let log_file = run_dir.join("run.log");
    let Some((node, error)) = first_failure(&failed) else {
        if was_stopped {
            println!("Stopped. {how_to_resume}");
        } else {
            println!("Run folder: {}", run_dir.display());
        }
        crate::doctor::print_verdicts(run_dir)?;
        return Ok(());
    };
    let error = error.to_string();
    let error = error.lines().next().unwrap_or_default();
    let report =
        eyre!("{how_to_resume}").wrap_err(format!("The log of all nodes is {log_file:?}."));
    let report = match last_words(node, log) {
        Some(words) => report.wrap_err(words),
        None => report,
    };
    Err(report.wrap_err(format!("node {node:?} failed: {error}")))
}

/// The error that a node ended with; one that was killed had no time to say anything.
fn last_words(node: &str, log: &[LogLine]) -> Option<String> {
    let of_node = log.iter().rev().filter(|line| line.node == node);
    let mut errors = of_node.filter_map(|line| line.text.split_once("ERROR "));
    errors.next().map(|(_, error)| error.to_owned())
}

/// The node that failed by itself, and earliest; the others followed it.
fn first_failure<'a>(failed: &'a [(String, &'a NodeError)]) -> Option<&'a (String, &'a NodeError)> {
    let by_itself = |error: &NodeError| !matches!(error.cause, NodeErrorCause::Cascading { .. });
    failed.iter().min_by_key(|(_, error)| (!by_itself(error), error.timestamp))
}
