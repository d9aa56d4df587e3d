//! How a run ended, in words that say what to do.

use std::path::Path;

use dora_message::common::{NodeError, NodeErrorCause};
use dora_message::coordinator_to_cli::DataflowResult;
use eyre::{bail, eyre};

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
    let words: Vec<&str> = log
        .iter()
        .filter(|line| line.node == *node && !line.text.contains(" INFO "))
        .map(|line| line.text.as_str())
        .collect();
    let words = words[words.len().saturating_sub(12)..].join("\n  ");
    if words.is_empty() {
        bail!("node {node:?} {error}\n{how_to_resume}");
    }
    Err(eyre!("{how_to_resume}").wrap_err(format!("node {node:?} {error}; its last words:\n  {words}")))
}

/// The node that failed by itself, and earliest; the others followed it.
fn first_failure<'a>(failed: &'a [(String, &'a NodeError)]) -> Option<&'a (String, &'a NodeError)> {
    let by_itself = |error: &NodeError| !matches!(error.cause, NodeErrorCause::Cascading { .. });
    failed.iter().min_by_key(|(_, error)| (!by_itself(error), error.timestamp))
}
