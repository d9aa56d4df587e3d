//! `vrft check`: everything that can be known to be wrong before a run.

mod idle;
mod learned;
mod memory;
mod nodes;
mod starts;

use eyre::WrapErr;
use vrft_checkpoint::PolicyConfig;

use crate::check_data::check_data;
use crate::cli::CheckOptions;
use crate::graph::Graph;
use crate::print::say;

pub(crate) use memory::{check_memory, size_of_first_prompt};
pub(crate) use nodes::{CAPTURE, REPLAY, check_nodes};
pub(crate) use starts::check_starts;

/// Validates graph and configuration, prints both resolved.
pub(crate) fn check(options: &CheckOptions) -> eyre::Result<()> {
    let graph = Graph::load(&options.graph)?;
    graph.check_files()?;
    graph.check_devices()?;
    check_nodes(&graph, false)?;
    check_starts(&graph)?;
    let base = graph.config.policy.base.as_deref();
    vrft_checkpoint::verify(&graph.checkpoint()?, base).wrap_err("policy.path")?;
    check_policy(&graph)?;
    if options.all {
        vrft_model::check_weights(&graph.checkpoint()?, base).wrap_err("policy.path")?;
    }
    say!("# {}", graph.path.display());
    for node in &graph.descriptor.nodes {
        let inputs: Vec<String> =
            node.inputs.iter().map(|(id, input)| format!("{id} <- {}", input.mapping)).collect();
        say!("#   {:<12} {}", node.id.to_string(), inputs.join(", "));
    }
    if let Some(settings) = vrft_processor::GenerationSettings::load(&graph.checkpoint()?)? {
        say!("# {settings}");
    }
    graph.notes.iter().chain(&warnings(&graph)).for_each(|note| say!("# warning: {note}"));
    if let Err(why) = graph.check_sources() {
        say!("# warning: {why}");
    }
    // What a camera will show is not known yet, nor how long its questions are.
    if graph.config.stream.is_none() && graph.reads_data() {
        check_data(&graph, options.all)?;
        memory::print(&graph)?;
    }
    say!("\n{}", graph.config.to_toml());
    Ok(())
}

/// What is not wrong with a graph and still should be known before it is run, a sentence each.
pub(crate) fn warnings(graph: &Graph) -> Vec<String> {
    let mut told = idle::idle(graph);
    told.extend(learned::learned(graph));
    told
}

/// Compares the policy with what a learner of the graph is to train beside or in it.
///
/// # Errors
/// What the learner would refuse when it starts.
pub(crate) fn check_policy(graph: &Graph) -> eyre::Result<()> {
    let path = graph.checkpoint()?;
    let learns = |node| vrft_node::executable(node) == Some("vrft-learner");
    let base = graph.config.policy.base.as_deref();
    let checked = if graph.descriptor.nodes.iter().any(learns) {
        vrft_model::check_policy(&PolicyConfig { path, ..graph.config.policy.clone() })
    } else {
        vrft_model::check_checkpoint(&path, base)
    };
    checked.wrap_err("policy.path")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::cli::GraphOptions;

    /// Of every graph with a policy, whether it learns or only judges.
    #[test]
    fn files_that_a_node_would_refuse_are_refused_before_a_run() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let folder = tempfile::tempdir().unwrap();
        for name in ["config.json", "tokenizer.json"] {
            std::fs::copy(root.join("data/starter").join(name), folder.path().join(name)).unwrap();
        }
        std::fs::write(folder.path().join("pytorch_model.bin"), "PK").unwrap();
        for graph in ["dataflow.yml", "configs/evaluate.yml"] {
            let path = format!("policy.path={:?}", folder.path().display().to_string());
            let graph = Some(root.join(graph));
            let options = GraphOptions { graph, config: None, overrides: vec![path] };
            let error = check_policy(&Graph::load(&options).unwrap()).unwrap_err();
            let error = format!("{error:#}");
            assert!(
                error.starts_with("policy.path: ") && error.contains("pytorch_model.bin"),
                "{error}"
            );
        }
    }
}
