//! `dora-node.yml`: what dora's hub has to know of a node, from the declaration of its ports.
//!
//! The manifests of `nodes/` are written by `cargo run --release -p vrft-node --example manifests`; a test compares.

use std::collections::BTreeMap;

use crate::ports::{METRICS, Others, Port, Ports, WATCH};

/// Variables that every node of this project reads.
const COMMON_VARIABLES: [(&str, &str); 2] = [
    (crate::CONFIG_VARIABLE, "The configuration of the run (TOML)"),
    (crate::RUN_DIR_VARIABLE, "The run folder, if not out/ and the id of the dataflow"),
];

/// The manifest of a node.
///
/// An input that only some roles of the node need is not required: the hub knows no roles.
pub fn manifest(ports: &Ports) -> String {
    let name = ports.executable;
    let mut text = format!(
        "# Made from src/ports.rs by `cargo run --release -p vrft-node --example manifests`.\n\
         apiVersion: 1\n\
         name: {name}\n\
         namespace: vrft\n\
         description: {:?}\n\
         categories: [{}]\n\
         keywords: [{}]\n\
         runtime: rust\n\
         entrypoint: target/release/{name}\n\
         build: cargo build --release -p {name}-node --target-dir target\n\
         dora: \">=1.1, <1.2\"\n",
        ports.about,
        ports.categories.join(", "),
        ports.keywords.join(", "),
    );
    let roles = ports.roles;
    let others = |others: &Option<Others>| others.as_ref().map(named);
    text += &section(
        "inputs",
        roles.iter().map(|role| role.inputs.iter().copied().chain(others(&role.other_inputs))),
    );
    text += &section(
        "outputs",
        roles.iter().map(|role| role.outputs.iter().copied().chain(others(&role.other_outputs))),
    );
    text += "env:\n";
    let own = ports.variables.iter().map(|variable| (variable.name, variable.about));
    for (name, about) in own.chain(COMMON_VARIABLES) {
        text += &format!("  {name}:\n    description: {about:?}\n");
    }
    text
}

/// Ports of any name as the one that stands for them.
fn named(others: &Others) -> Port {
    let Others { name, about, carries, at_least, word, .. } = *others;
    // With a word in their names, one that has a name of its own may be the only one.
    Port { name, about, carries, is_required: at_least > 0 && word.is_empty(), ..METRICS }
}

/// The ports of all roles, in the order of their declaration, those of every node last.
fn section<P: Iterator<Item = Port>>(title: &str, roles: impl Iterator<Item = P>) -> String {
    let roles: Vec<Vec<Port>> = roles.map(Iterator::collect).collect();
    let mut order: Vec<&Port> = Vec::new();
    let mut n_roles: BTreeMap<&str, usize> = BTreeMap::new();
    for port in roles.iter().flatten() {
        let n = n_roles.entry(port.name).or_insert(0);
        *n += usize::from(port.is_required);
        if !order.iter().any(|known| known.name == port.name) {
            order.push(port);
        }
    }
    order.sort_by_key(|port| [METRICS.name, WATCH.name].contains(&port.name));
    if order.is_empty() {
        return String::new();
    }
    let mut text = format!("{title}:\n");
    for port in order {
        text += &format!("  {}:\n    description: {:?}\n", port.name, port.about);
        // Only inputs can be required in a manifest.
        if title == "inputs" && n_roles[port.name] < roles.len() {
            text += "    required: false\n";
        }
    }
    text
}
