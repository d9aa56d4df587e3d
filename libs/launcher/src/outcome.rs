//! How a run ended, in words that say what to do.

use std::path::Path;

use dora_message::common::{NodeError, NodeErrorCause};
use dora_message::coordinator_to_cli::DataflowResult;
use eyre::eyre;

use crate::progress::LogLine;

/// Tells the result of a run.
///
/// # Errors
/// The node that failed first, its last words, and how to go on.
pub(crate) fn report(
    result: eyre::Result<DataflowResult>,
    log: &[LogLine],
    run_dir: &Path,
) -> eyre::Result<()> {
    let how_to_resume =
        format!("What was saved is in {0}; go on with `vrft run --resume {0}`.", run_dir.display());
    let result = result.map_err(|error| error.wrap_err(how_to_resume.clone()))?;
    let failed: Vec<(String, &NodeError)> = result
        .node_results
        .iter()
        .filter_map(|(id, result)| Some((id.to_string(), result.as_ref().err()?)))
        .collect();
    let Some((node, error)) = first_failure(&failed) else {
        println!("Run folder: {}", run_dir.display());
        return Ok(());
    };
    let error = error.to_string();
    let error = error.lines().next().unwrap_or_default();
    Err(eyre!("{how_to_resume}")
        .wrap_err(last_words(node, log))
        .wrap_err(format!("node {node:?} failed: {error}")))
}

/// What a node said last: its error, or else its newest lines.
fn last_words(node: &str, log: &[LogLine]) -> String {
    let of_node = || log.iter().filter(|line| line.node == node).map(|line| line.text.as_str());
    if let Some(error) = of_node().filter_map(|text| text.split_once("ERROR ")).last() {
        return error.1.to_owned();
    }
    let lines: Vec<&str> = of_node().collect();
    lines[lines.len().saturating_sub(8)..].join("\n  ")
}

/// The node that failed by itself, and earliest; the others followed it.
fn first_failure<'a>(failed: &'a [(String, &'a NodeError)]) -> Option<&'a (String, &'a NodeError)> {
    let by_itself = |error: &NodeError| !matches!(error.cause, NodeErrorCause::Cascading { .. });
    failed.iter().min_by_key(|(_, error)| (!by_itself(error), error.timestamp))
}
