//! What a graph must say of the environment of its nodes.

use std::collections::BTreeMap;
use std::path::Path;

use dora_message::descriptor::{Descriptor, EnvValue};
use eyre::ensure;

use crate::nodes::Declared;
use crate::start::{CONFIG_VARIABLE, RUN_DIR_VARIABLE};

/// What all nodes of a run have in common, and what it is.
const SHARED: [(&str, &str); 2] =
    [(CONFIG_VARIABLE, "work by one configuration"), (RUN_DIR_VARIABLE, "write into one folder")];

/// Checks that no node has a configuration or a run folder of its own: what it does would not be what the others expect.
///
/// Nodes on other machines are left out: the same file may lie elsewhere there.
///
/// # Errors
/// The first node that has, and what the others have.
pub(super) fn check_shared(graph: &Descriptor) -> eyre::Result<()> {
    for (name, shared) in SHARED {
        let of = |env: &Option<BTreeMap<String, EnvValue>>| {
            env.as_ref().and_then(|env| env.get(name)).map(ToString::to_string)
        };
        let mut known = of(&graph.env).map(|value| ("the `env` of the graph".to_owned(), value));
        for node in graph.nodes.iter().filter(|node| node.deploy.is_none()) {
            let Some(own) = of(&node.env) else { continue };
            let id = node.id.to_string();
            let Some((who, value)) = &known else {
                known = Some((format!("node {id:?}"), own));
                continue;
            };
            let is_same = |a: &str, b: &str| {
                let whole = |path: &str| vrft_config::joined(Path::new(""), Path::new(path));
                whole(a) == whole(b)
            };
            ensure!(
                is_same(&own, value),
                "node {id:?}: its `env` sets {name} to {own:?}, and {who} to {value:?}: all nodes of a run {shared}; take the \
                 variable out of the node, and write it into the `env` of the graph"
            );
        }
    }
    Ok(())
}

/// Checks that the environment variables which the nodes cannot do without are set: in the graph, or here.
///
/// Nodes on other machines are left out: their environment is not known here.
///
/// # Errors
/// The first one missing, with its node and what it should say.
pub fn check_environment(
    graph: &Descriptor,
    is_set_here: impl Fn(&str) -> bool,
) -> eyre::Result<()> {
    let is_set = |value: &EnvValue| !value.to_string().is_empty();
    let nodes = graph.nodes.iter().filter(|node| node.deploy.is_none());
    for declared in nodes.filter_map(Declared::of) {
        let args = declared.node.args.as_deref().unwrap_or_default();
        for variable in declared.ports.variables {
            let Some(option) = variable.required_unless else { continue };
            let of_graph = [&declared.node.env, &graph.env].into_iter().flatten();
            let mut of_graph = of_graph.filter_map(|env| env.get(variable.name));
            let id = declared.node.id.to_string();
            let name = variable.name;
            ensure!(
                args.split([' ', '=']).any(|word| word == option)
                    || of_graph.any(is_set)
                    || is_set_here(name),
                "node {id:?} ({}) needs the environment variable {name}: {}; set it, or give the node `args: {option} \
                 …`",
                declared.ports.executable,
                variable.about
            );
        }
    }
    Ok(())
}
