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
        let mut command = Command::new(program);
        command.args(arguments).current_dir(&graph.folder);
        std::env::vars_os()
            .filter(|(name, _)| name.to_str().is_some_and(is_of_a_package))
            .for_each(|(name, _)| _ = command.env_remove(name));
        let status = command.status().wrap_err_with(|| format!("cannot run `{line}`"))?;
        ensure!(status.success(), "`{line}` failed ({status})");
    }
    Ok(())
}

/// Whether `cargo run` sets it for this program alone. Build scripts look at such variables: with them a dozen crates
/// that are built already, and all that need them, would be built again.
fn is_of_a_package(variable: &str) -> bool {
    ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|prefix| variable.starts_with(prefix))
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
    fn what_cargo_says_of_a_package_is_not_handed_on() {
        assert!(is_of_a_package("CARGO_PKG_NAME") && is_of_a_package("CARGO_MANIFEST_DIR"));
        assert!(!is_of_a_package("CARGO_HOME") && !is_of_a_package("CARGO_TARGET_DIR"));
    }

    #[test]
    fn other_lines_and_chosen_features_are_left_alone() {
        check("pip install .", &[("cuda", true)], "pip install .");
        let chosen = "cargo build --features mkl";
        check(chosen, &[("cuda", true)], chosen);
    }
}
