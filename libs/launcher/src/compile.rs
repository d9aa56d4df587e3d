//! Builds the nodes: the `build:` lines of the graph, each distinct one once.
//!
//! A line that builds with cargo and names no features gets those that this program was built with, so that
//! `cargo run --release --features cuda` runs nodes that have CUDA too.

use std::collections::BTreeSet;
use std::process::Command;

use eyre::{WrapErr, ensure, eyre};

use crate::graph::Graph;

/// Features that nodes share with this program, and whether it has them.
const FEATURES: [(&str, bool); 2] =
    [("cuda", cfg!(feature = "cuda")), ("mkl", cfg!(feature = "mkl"))];

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
        let words = with_features(words, &FEATURES);
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

fn with_features(mut words: Vec<String>, features: &[(&str, bool)]) -> Vec<String> {
    let features: Vec<&str> =
        features.iter().filter_map(|(name, on)| on.then_some(*name)).collect();
    let builds = matches!(&words[..], [cargo, build, ..] if cargo == "cargo" && build == "build");
    let named = |word: &String| word.starts_with("--features") || word == "--all-features";
    if builds && !features.is_empty() && !words.iter().any(named) {
        words.extend(["--features".to_owned(), features.join(",")]);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, features: &[(&str, bool)], expected: &str) {
        let words = shlex::split(line).unwrap();
        assert_eq!(with_features(words, features).join(" "), expected);
    }

    #[test]
    fn nodes_are_built_with_the_features_of_the_program() {
        let line = "cargo build --release --workspace --bins";
        check(line, &[("cuda", false), ("mkl", false)], line);
        check(line, &[("cuda", true), ("mkl", false)], &format!("{line} --features cuda"));
        check(line, &[("cuda", true), ("mkl", true)], &format!("{line} --features cuda,mkl"));
    }

    #[test]
    fn other_lines_and_chosen_features_are_left_alone() {
        check("pip install .", &[("cuda", true)], "pip install .");
        let chosen = "cargo build --features mkl";
        check(chosen, &[("cuda", true)], chosen);
    }
}
