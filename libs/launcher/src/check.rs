//! `vrft check`: everything that can be known to be wrong before a run.

use crate::cli::GraphOptions;
use crate::graph::Graph;

/// Validates graph and configuration, prints both resolved.
pub(crate) fn check(options: &GraphOptions) -> eyre::Result<()> {
    let graph = Graph::load(options)?;
    graph.check_files()?;
    println!("# {}", graph.path.display());
    for node in &graph.descriptor.nodes {
        let inputs: Vec<String> =
            node.inputs.iter().map(|(id, input)| format!("{id} <- {}", input.mapping)).collect();
        println!("#   {:<12} {}", node.id.to_string(), inputs.join(", "));
    }
    if let Some(settings) = policy::GenerationSettings::load(&graph.checkpoint()?)? {
        println!("# {settings}");
    }
    println!("\n{}", graph.config.to_toml());
    Ok(())
}
