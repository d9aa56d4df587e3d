//! The page of the docs that lists the ports of all nodes, from their declarations.
//!
//! It is `docs/src/ports.md`, written by `cargo run --release -p vrft-node --example manifests`; a test compares.

use crate::nodes::ALL;
use crate::ports::{Carries, Others, Port, Ports, Role};

const HEAD: &str = "\
# Ports

<!-- Made from nodes/*/src/ports.rs by `cargo run --release -p vrft-node --example manifests`. -->

What each node takes and gives, by the names that a graph uses. A node with several roles has the one that its `args` name, else the last. *Any name* stands for as many
ports as wanted, by whatever names the graph gives them. Every node may also have an input `watch` and an output `watch`, which carry nothing and tell of failures.

Messages are Arrow data; their columns are documented in `libs/messages`. \"dora's hub\" means that the data has the form which nodes of dora's hub have agreed on under that name.
";

/// The page, as Markdown.
pub fn page() -> String {
    let mut text = HEAD.to_owned();
    for ports in ALL {
        text += &format!("\n## {}\n\n{}.\n", name(ports), ports.about);
        for role in ports.roles {
            text += &table(ports, role);
        }
    }
    text
}

/// The name of the folder under `nodes/`.
fn name(ports: &Ports) -> &'static str {
    ports.executable.trim_start_matches("vrft-")
}

/// The table of one role, under a line that names the role where there are several.
fn table(ports: &Ports, role: &Role) -> String {
    let mut text = match (ports.roles.len(), role.argument) {
        (1, _) => String::new(),
        (_, "") => "\nOtherwise:\n".to_owned(),
        (_, argument) => format!("\nWith `args: {argument}`:\n"),
    };
    text += "\n| port | | message | what it carries |\n|---|---|---|---|\n";
    for (direction, named, others) in
        [("input", role.inputs, &role.other_inputs), ("output", role.outputs, &role.other_outputs)]
    {
        for port in named {
            text += &row_of_port(direction, port);
        }
        if let Some(others) = others {
            text += &row_of_others(direction, others);
        }
    }
    text
}

fn row_of_port(direction: &str, port: &Port) -> String {
    let Port { name, about, carries, is_required, may_drop, .. } = port;
    // Whether an output is used is up to the graph, unless the node waits for what comes of it.
    let must = if direction == "input" { *is_required } else { port.needs_listener };
    let direction = if must { format!("{direction}, required") } else { direction.to_owned() };
    let dropped = if *may_drop { "; only the newest is of use" } else { "" };
    format!("| `{name}` | {direction} | {} | {}{dropped} |\n", message(carries), cell(about))
}

fn row_of_others(direction: &str, others: &Others) -> String {
    let Others { about, carries, at_least, may_drop, word, .. } = others;
    let at_least = if word.is_empty() { *at_least } else { 0 };
    let least = if at_least > 0 { format!(", {at_least} or more") } else { String::new() };
    let dropped = if *may_drop { "; only the newest is of use" } else { "" };
    let names = others.names();
    format!("| {names} | {direction}{least} | {} | {}{dropped} |\n", message(carries), cell(about))
}

fn message(carries: &Carries) -> String {
    match carries {
        Carries::Message(name) => format!("`{name}`"),
        Carries::Hub(convention) => format!("`{convention}` of dora's hub"),
        Carries::Nothing => "nothing".to_owned(),
    }
}

/// Text within a table: a bar would end its cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
