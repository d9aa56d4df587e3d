//! Builds the nodes: the `build:` lines of the graph, each distinct one once.

use std::collections::BTreeSet;
use std::process::Command;

use eyre::{WrapErr, ensure, eyre};

use crate::graph::Graph;

/// Runs the build lines in the graph's folder; cargo shows its own progress.
pub(crate) fn compile(graph: &Graph) -> eyre::Result<()> {
    let lines: BTreeSet<&str> = graph
        .descriptor
        .nodes
        .iter()
        .filter_map(|node| node.build.as_deref())
        .flat_map(str::lines)
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    for line in lines {
        let words = shlex::split(line).ok_or_else(|| eyre!("unbalanced quotes in `{line}`"))?;
        let (program, arguments) = words.split_first().ok_or_else(|| eyre!("empty build line"))?;
        let status = Command::new(program)
            .args(arguments)
            .current_dir(&graph.folder)
            .status()
            .wrap_err_with(|| format!("cannot run `{line}`"))?;
        ensure!(status.success(), "`{line}` failed ({status})");
    }
    Ok(())
}
