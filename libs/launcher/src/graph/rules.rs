//! What a graph must be to be started: dora's own rules, and those of this project.

use std::path::Path;

use dora_core::descriptor::{DescriptorExt, validate};
use dora_message::descriptor::Descriptor;
use eyre::WrapErr;
use vrft_node::wiring;

/// Checks nodes and edges as dora will when the graph starts, and as every node does when it joins; `folder` is that of the
/// graph.
///
/// # Errors
/// The first thing wrong, by node or edge.
pub(super) fn check(descriptor: &Descriptor, path: &Path, folder: &Path) -> eyre::Result<()> {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let check = || {
        // A node that is there twice, or is none, would make nonsense of what is said of edges.
        let flat = flat(descriptor, folder)?;
        flat.resolve_aliases_and_set_defaults()?;
        wiring::check(descriptor)?;
        wiring::check_environment(descriptor, is_set)?;
        validate::check_dataflow_static(&flat)
    };
    check().wrap_err_with(|| format!("in the graph {path:?}"))
}

/// The graph with the nodes of its modules in place of these. dora does not know yet what a package of its hub starts.
fn flat(descriptor: &Descriptor, folder: &Path) -> eyre::Result<Descriptor> {
    let mut flat = descriptor.expand(folder)?;
    for node in flat.nodes.iter_mut().filter(|node| node.path.is_none()) {
        node.path = node.hub.take();
    }
    Ok(flat)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(nodes: &str) -> Result<(), String> {
        let descriptor = yaml_serde::from_str(&format!("nodes: [{nodes}]")).unwrap();
        let checked = check(&descriptor, Path::new("graph.yml"), Path::new("."));
        checked.map_err(|error| format!("{error:#}"))
    }

    #[track_caller]
    fn refused(nodes: &str, words: &str) {
        let error = checked(nodes).unwrap_err();
        assert!(
            error.starts_with("in the graph \"graph.yml\": ") && error.contains(words),
            "{error}"
        );
    }

    #[test]
    fn what_dora_would_refuse_is_refused_before_a_run() {
        checked("{id: a, path: a.py, outputs: [x]}, {id: b, path: b.py, inputs: {x: a/x}}")
            .unwrap();
        checked("{id: a, hub: somebody/camera@1, outputs: [image]}").unwrap();
        refused("{id: a, path: a.py}, {id: a, path: b.py}", "duplicate node ID `a`");
        refused("{id: a, outputs: [x]}", "node `a` requires a `path`");
        refused("{id: a, path: a.py, restart_delay: -1}", "node `a`");
        refused("{id: a, path: a.py, inputs: {x: b/x}}", "there is no node \"b\"");
        refused("{id: a, path: a.py, branch: main}", "`git` source required");
    }
}
