//! What the nodes of a graph need to start: executables that are there, options that they know, a camera's source.

use std::path::{Path, PathBuf};

use dora_message::descriptor::{EnvValue, Node};
use eyre::{bail, ensure, eyre};

use crate::graph::Graph;

/// Our executables and their options, each with the values it takes: any where none are listed, no value where the
/// option is a switch.
const OPTIONS: &[(&str, &[(&str, Value)])] = &[
    (
        "vrft-camera",
        &[
            ("--path", Value::Any),
            ("--encoding", Value::OneOf(&["keep", "rgb8", "bgr8", "jpeg"])),
            ("--once", Value::None),
        ],
    ),
    ("vrft-loader", &[]),
    ("vrft-rollout", &[]),
    ("vrft-pool", &[]),
    ("vrft-journal", &[("--replay", Value::Any)]),
    ("vrft-reward", &[("--terms", Value::Any)]),
    ("vrft-semantic", &[]),
    ("vrft-advantage", &[]),
    ("vrft-learner", &[("--objective", Value::OneOf(&["grpo", "offline", "sft"]))]),
    ("vrft-evaluator", &[("--estimate", Value::None), ("--min-effective", Value::Any)]),
    ("vrft-answer", &[]),
    ("vrft-segment", &[]),
    ("vrft-page", &[]),
    ("vrft-zoom", &[]),
    ("vrft-monitor", &[("--join", Value::Any)]),
];

/// What follows an option.
#[derive(Clone, Copy)]
enum Value {
    None,
    Any,
    OneOf(&'static [&'static str]),
}

/// The variable that names a camera's source.
pub(crate) const CAPTURE: &str = "CAPTURE_PATH";

/// The variable that names the run whose groups a journal plays back.
pub(crate) const REPLAY: &str = "VRFT_REPLAY";

/// Checks the nodes that start on this machine; `built` says that nothing will be built any more.
///
/// # Errors
/// The first node that cannot start as it is declared, and what to write.
pub(crate) fn check_nodes(graph: &Graph, built: bool) -> eyre::Result<()> {
    let builds = graph.descriptor.nodes.iter().any(|node| node.build.is_some());
    for node in graph.descriptor.nodes.iter().filter(|node| node.deploy.is_none()) {
        let Some(path) = node.path.as_deref() else { continue };
        if ["dynamic", "shell"].contains(&path) || path.contains("://") || path.contains('$') {
            continue;
        }
        let found = locate(path);
        let name = name_of(path);
        let options = OPTIONS.iter().find(|(known, _)| *known == name).map(|(_, options)| *options);
        let id = node.id.to_string();
        match (&found, options) {
            (Some(_), _) => {}
            (None, Some(_)) if builds && !built => {}
            (None, Some(_)) => bail!(
                "node {id:?}: there is no {path:?}; build it by `cargo build --release --workspace --bins`, or run \
                 without --no-build"
            ),
            (None, None) => return Err(unknown(&id, path, &name)),
        }
        if let Some(options) = options {
            let args = node.args.as_deref().unwrap_or_default();
            check_options(&id, &name, args, options)?;
        }
        match name.as_str() {
            "vrft-camera" => check_camera(graph, node, &id)?,
            "vrft-journal" => check_replay(graph, node, &id)?,
            "vrft-answer" => check_answer(graph, node, &id)?,
            _ => {}
        }
    }
    Ok(())
}

fn name_of(path: &str) -> String {
    Path::new(path).file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// The file that a path means: itself, or a program on the search path.
fn locate(path: &str) -> Option<PathBuf> {
    if path.contains('/') {
        return Some(PathBuf::from(path)).filter(|path| path.exists());
    }
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders).map(|folder| folder.join(path)).find(|file| file.is_file())
}

fn unknown(id: &str, path: &str, name: &str) -> eyre::Report {
    let known = OPTIONS.iter().map(|(known, _)| *known);
    let nearest = known.min_by_key(|known| distance(known, name));
    match nearest.filter(|nearest| distance(nearest, name) <= 3) {
        Some(nearest) => eyre!("node {id:?}: there is no {path:?}; did you mean {nearest}?"),
        None if path.contains('/') => eyre!("node {id:?}: there is no {path:?}"),
        None => eyre!("node {id:?}: there is no program {path:?} on the search path: install it"),
    }
}

fn check_options(id: &str, name: &str, args: &str, options: &[(&str, Value)]) -> eyre::Result<()> {
    let words =
        shlex::split(args).ok_or_else(|| eyre!("node {id:?}: unbalanced quotes in `{args}`"))?;
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let (option, mut value) = match word.split_once('=') {
            Some((option, value)) => (option.to_owned(), Some(value.to_owned())),
            None => (word, None),
        };
        let Some((_, takes)) = options.iter().find(|(known, _)| *known == option) else {
            let known: Vec<&str> = options.iter().map(|(known, _)| *known).collect();
            let known = if known.is_empty() { "no options".into() } else { known.join(", ") };
            bail!("node {id:?}: args `{args}`: {name} does not know {option:?}; it knows {known}");
        };
        if !matches!(takes, Value::None) && value.is_none() {
            value = words.next();
            ensure!(value.is_some(), "node {id:?}: args `{args}`: {option} needs a value");
        }
        if let (Value::OneOf(values), Some(value)) = (takes, &value) {
            ensure!(
                values.contains(&value.as_str()),
                "node {id:?}: args `{args}`: {option} is one of {}, got {value:?}",
                values.join(", ")
            );
        }
    }
    Ok(())
}

/// The value of an option of a node.
pub(super) fn option(node: &Node, name: &str) -> Option<String> {
    let words = shlex::split(node.args.as_deref().unwrap_or_default()).unwrap_or_default();
    let given = words.iter().position(|word| word == name).and_then(|at| words.get(at + 1));
    let joined = words.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    given.cloned().or(joined.map(str::to_owned))
}

/// A variable as a node will see it: its own, that of the graph, that of this process.
fn variable(graph: &Graph, node: &Node, name: &str) -> Option<String> {
    let of = |env: &Option<std::collections::BTreeMap<String, EnvValue>>| {
        env.as_ref().and_then(|env| env.get(name)).map(ToString::to_string)
    };
    let own = of(&node.env).or_else(|| of(&graph.descriptor.env));
    own.or_else(|| std::env::var(name).ok()).filter(|value| !value.is_empty())
}

/// The run whose groups a journal plays back, as it is named, and by what; `None` of one that writes groups down.
pub(super) fn replayed(graph: &Graph, node: &Node) -> Option<(&'static str, String)> {
    let given = option(node, "--replay")?;
    let named = variable(graph, node, REPLAY).map(|named| (REPLAY, named));
    Some(named.unwrap_or(("--replay", given)))
}

/// A journal that plays back needs the record of a run.
fn check_replay(graph: &Graph, node: &Node, id: &str) -> eyre::Result<()> {
    let Some((key, run)) = replayed(graph, node) else { return Ok(()) };
    let path = graph.folder.join(&run);
    let groups = path.join("groups");
    ensure!(
        groups.is_dir(),
        "node {id:?}: {key} = {run:?}: there is no {}, in which a run of configs/journal.yml writes its groups down; \
         {REPLAY} names the folder of that run",
        groups.display()
    );
    Ok(())
}

/// A camera whose source is not there would be started again and again.
fn check_camera(graph: &Graph, node: &Node, id: &str) -> eyre::Result<()> {
    let source = option(node, "--path").or_else(|| variable(graph, node, CAPTURE));
    // That there is none at all is said when the graph is read.
    let Some(source) = source else { return Ok(()) };
    let path = graph.folder.join(&source);
    ensure!(path.exists(), "node {id:?}: {CAPTURE} = {source:?}: there is no {}", path.display());
    Ok(())
}

/// An answering node needs something to ask, and to follow.
fn check_answer(graph: &Graph, node: &Node, id: &str) -> eyre::Result<()> {
    let mut answer = graph.config.answer.clone();
    answer.question = variable(graph, node, "DEFAULT_QUESTION").unwrap_or(answer.question);
    let has = |name: &str| node.inputs.keys().any(|input| AsRef::<str>::as_ref(input) == name);
    answer.check_inputs(has).map_err(|why| eyre!("node {id:?}: {why}"))
}

/// Insertions, removals and replacements from one word to another.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn check(nodes: &str, built: bool) -> eyre::Result<()> {
        let graph = Graph {
            path: "/nowhere/graph.yml".into(),
            folder: "/nowhere".into(),
            descriptor: yaml_serde::from_str(&format!("nodes: [{nodes}]")).unwrap(),
            config: Config::default(),
            notes: Vec::new(),
        };
        check_nodes(&graph, built)
    }

    #[track_caller]
    fn refused(nodes: &str, words: &str) {
        let error = check(nodes, false).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }

    #[test]
    fn a_misspelled_executable_is_named_with_what_was_meant() {
        let build = "build: cargo build, path: /nowhere";
        refused(&format!("{{id: a, {build}/vrft-loder}}"), "did you mean vrft-loader?");
        refused("{id: a, path: no-such-program-of-ours}", "on the search path");
        check(&format!("{{id: a, {build}/vrft-loader}}"), false).unwrap();
        assert!(check(&format!("{{id: a, {build}/vrft-loader}}"), true).is_err());
        check("{id: a, path: sh}", true).unwrap();
    }

    #[test]
    fn every_node_of_this_project_is_known_before_it_is_built() {
        for ports in vrft_node::nodes::ALL {
            let name = ports.executable;
            assert!(OPTIONS.iter().any(|(known, _)| *known == name), "{name} has no options here");
        }
    }

    #[test]
    fn a_misspelled_option_is_named_with_those_there_are() {
        let learner = |args: &str| {
            format!("{{id: sft, build: make, path: /nowhere/vrft-learner, args: {args:?}}}")
        };
        refused(&learner("--objectiv sft"), "does not know \"--objectiv\"; it knows --objective");
        refused(&learner("--objective=stf"), "one of grpo, offline, sft, got \"stf\"");
        refused(&learner("--objective"), "needs a value");
        check(&learner("--objective sft"), false).unwrap();
        let loader = "{id: a, build: make, path: /nowhere/vrft-loader, args: --fast}";
        refused(loader, "it knows no options");
    }

    #[test]
    fn a_journal_that_plays_back_needs_the_record_of_a_run() {
        let journal = |more: &str| {
            format!("{{id: journal, build: make, path: /nowhere/vrft-journal, {more}}}")
        };
        refused(&journal("args: --replay run"), "there is no /nowhere/run/groups");
        let named = journal("args: --replay run, env: {VRFT_REPLAY: other}");
        refused(&named, "VRFT_REPLAY = \"other\": there is no /nowhere/other/groups");
        check(&journal("args: ''"), false).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("groups")).unwrap();
        check(&journal(&format!("args: --replay {}", folder.path().display())), false).unwrap();
    }

    #[test]
    fn an_answering_node_needs_something_to_ask() {
        let answer = |inputs: &str, more: &str| {
            let node = "id: vlm, build: make, path: /nowhere/vrft-answer";
            format!("{{{node}, inputs: {{{inputs}}}{more}}}")
        };
        let nothing = "node \"vlm\": nothing to ask: set answer.question";
        refused(&answer("image: a/b", ""), nothing);
        check(&answer("image: a/b, text: a/c", ""), false).unwrap();
        check(&answer("image: a/b", ", env: {DEFAULT_QUESTION: Who?}"), false).unwrap();
    }

    #[test]
    fn the_source_of_a_camera_must_be_there() {
        let camera =
            |more: &str| format!("{{id: camera, build: make, path: /nowhere/vrft-camera, {more}}}");
        refused(&camera("env: {CAPTURE_PATH: frames}"), "there is no /nowhere/frames");
        check(&camera("args: --path /"), false).unwrap();
    }
}
