//! A graph and the configuration that goes with it.
//!
//! Relative paths in a graph and in its configuration start at the folder of the graph, wherever the program is called;
//! [`Graph::load`] makes them absolute. Paths on the command line start at the working folder, and so do those in variables of
//! the environment that the program is called in, which stand before it.

mod rules;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use dora_message::descriptor::{Descriptor, EnvValue};
use eyre::{WrapErr, ensure, eyre};
use vrft_config::Document;
use vrft_plan::OnLoss;

use crate::check::{CAPTURE, REPLAY};
use crate::cli::GraphOptions;
use crate::config::Config;

/// A graph that may be run: its wiring and its configuration were checked.
#[derive(Debug)]
pub(crate) struct Graph {
    pub(crate) path: PathBuf,
    /// Folder of the graph: where its nodes and build lines run.
    pub(crate) folder: PathBuf,
    pub(crate) descriptor: Descriptor,
    pub(crate) config: Config,
    /// What the user should know of how the configuration was read, a sentence each.
    pub(crate) notes: Vec<String>,
}

impl Graph {
    /// Reads the graph and the configuration that the options or the graph name.
    ///
    /// # Errors
    /// A file that cannot be read or does not parse, an unknown key, an impossible value, a wrong edge.
    pub(crate) fn load(options: &GraphOptions) -> eyre::Result<Self> {
        let (path, folder, mut descriptor) = read(&options.graph())?;
        let file = match &options.config {
            Some(config) => config.clone(),
            None => folder.join(named_config(&descriptor)?),
        };
        let document = Document::load(&file, &options.overrides)?;
        let mut config = Config::read(&document)?;
        let working_folder = std::env::current_dir().wrap_err("the working folder")?;
        if document.get("answer.served").is_none() {
            // Where `vrft promote` puts policies that is not told otherwise.
            config.answer.served = vrft_config::joined(&working_folder, &config.answer.served);
        }
        config.check_starts_at(&folder, &working_folder)?;
        config.anchor(&folder);
        anchor_nodes(&mut descriptor, &folder);
        share_variables(&mut descriptor);
        anchor_variables(&mut descriptor, &working_folder, |name| std::env::var(name).ok());
        let notes = document.notes().to_vec();
        let mut graph = Self { path, folder, descriptor, config, notes };
        graph.choose_checkpoint()?;
        Ok(graph)
    }

    /// The graph and the configuration that a run folder holds.
    ///
    /// # Errors
    /// As [`Graph::load`].
    pub(crate) fn of_run(
        run_dir: &Path,
        folder: &Path,
        descriptor: Descriptor,
        overrides: &[String],
    ) -> eyre::Result<Self> {
        let path = run_dir.join(crate::origin::GRAPH);
        rules::check(&descriptor, &path, folder)?;
        let document = Document::load(&run_dir.join("config.toml"), overrides)?;
        let mut config = Config::read(&document)?;
        config.anchor(folder);
        let notes = document.notes().to_vec();
        let mut descriptor = descriptor;
        share_variables(&mut descriptor);
        Ok(Self { path, folder: folder.to_owned(), descriptor, config, notes })
    }

    /// Sets an environment variable of every node.
    pub(crate) fn set_env(&mut self, key: &str, value: &str) {
        let env = self.descriptor.env.get_or_insert_default();
        env.insert(key.to_owned(), EnvValue::String(value.to_owned()));
    }

    /// The checkpoint directory of `policy.path`; a model of the Hugging Face hub is downloaded if this machine does
    /// not have it.
    pub(crate) fn checkpoint(&self) -> eyre::Result<PathBuf> {
        let path = &self.config.policy.path;
        if path.exists() {
            return Ok(path.clone());
        }
        vrft_checkpoint::checkpoint_dir(path).wrap_err("policy.path")
    }

    /// Nodes that the run can do without.
    pub(crate) fn expendable(&self) -> BTreeSet<String> {
        match self.config.pool.on_loss {
            OnLoss::End => BTreeSet::new(),
            OnLoss::Survive => vrft_node::wiring::replicas(&self.descriptor),
        }
    }

    /// Whether every node runs on this machine.
    pub(crate) fn is_local(&self) -> bool {
        self.descriptor.nodes.iter().all(|node| node.deploy.is_none())
    }

    /// Checks that nodes which are started from here can use the devices that the configuration gives them.
    ///
    /// # Errors
    /// A device for which neither this program nor, therefore, the nodes are built.
    pub(crate) fn check_devices(&self) -> eyre::Result<()> {
        // Other machines have programs of their own.
        if self.is_local() {
            for (key, device) in self.devices() {
                vrft_model::check_device(key, device)?;
            }
        }
        Ok(())
    }

    /// Checks that every node is on this machine.
    ///
    /// # Errors
    /// A node that is to run on a machine that the graph names, or that is a package of dora's hub.
    pub(crate) fn check_sources(&self) -> eyre::Result<()> {
        for node in &self.descriptor.nodes {
            ensure!(
                node.deploy.is_none(),
                "node {:?} has a section `deploy`, and `vrft run` knows one machine: start the graph with `dora start {:?}`, or \
                 take the section out of its nodes",
                node.id.to_string(),
                self.path
            );
            let Some(package) = &node.hub else { continue };
            let executable = vrft_node::executable(node).unwrap_or("NODE");
            return Err(eyre!(
                "node {:?} is the package {package:?} of dora's hub, which `vrft run` does not fetch: start the graph with \
                 `dora run {:?}`, or write `path: target/release/{executable}` in place of `hub:`",
                node.id.to_string(),
                self.path
            ));
        }
        Ok(())
    }

    /// Where the nodes with a model compute, by the key that says so.
    pub(crate) fn devices(&self) -> [(&'static str, vrft_plan::Device); 4] {
        let Config { rollout, learner, evaluation, answer, .. } = &self.config;
        [
            ("rollout.device", rollout.device),
            ("learner.device", learner.device),
            ("evaluation.device", evaluation.device),
            ("answer.device", answer.device),
        ]
    }

    /// Checks that the data and the checkpoint are there.
    pub(crate) fn check_files(&self) -> eyre::Result<()> {
        let mut config = self.config.clone();
        config.policy.path = self.checkpoint()?;
        Ok(config.check_files(self.reads_data())?)
    }

    /// Whether a failure anywhere ends the graph: a monitor hears of every node.
    pub(crate) fn is_a_ring(&self) -> bool {
        let mut names = self.descriptor.nodes.iter().filter_map(vrft_node::executable);
        names.any(|name| name == "vrft-monitor")
    }

    /// Whether a node reads the data that the configuration names: one that learns or judges, not one that only answers.
    pub(crate) fn reads_data(&self) -> bool {
        let names = self.descriptor.nodes.iter().filter_map(vrft_node::executable);
        names.into_iter().any(|name| ["vrft-loader", "vrft-evaluator"].contains(&name))
    }
}

/// What an input is, for one that is something else.
const INPUT: &str = ": an input is NODE/OUTPUT, or {source: NODE/OUTPUT, queue_size: NUMBER, queue_policy: backpressure or \
                     drop_oldest}";

/// The file, its folder and what it holds.
fn read(path: &Path) -> eyre::Result<(PathBuf, PathBuf, Descriptor)> {
    let text = std::fs::read_to_string(path).wrap_err_with(|| {
        format!("cannot read the graph {path:?}: name one, or call vrft in its folder")
    })?;
    let descriptor: Descriptor = yaml_serde::from_str(&text).map_err(|error| {
        // The name of a type of dora's tells nobody what to write.
        let is_input = error.to_string().contains("InputDef");
        let hint = if is_input { INPUT } else { "" };
        eyre!("in the graph {path:?}: {error}{hint}")
    })?;
    ensure!(
        !descriptor.nodes.is_empty(),
        "in the graph {path:?}: `nodes` is empty, so there is nothing to run"
    );
    let whole = path.canonicalize().wrap_err_with(|| format!("{path:?}"))?;
    let folder = whole.parent().unwrap_or(Path::new("/")).to_owned();
    rules::check(&descriptor, path, &folder)?;
    Ok((whole, folder, descriptor))
}

/// What all nodes have in common is said once, of the graph: a node that says it too would not follow where a run has it
/// elsewhere.
fn share_variables(descriptor: &mut Descriptor) {
    for name in [vrft_node::CONFIG_VARIABLE, vrft_node::RUN_DIR_VARIABLE] {
        for env in descriptor.nodes.iter_mut().filter_map(|node| node.env.as_mut()) {
            env.remove(name);
        }
    }
}

/// Makes the paths of executables absolute, so that the graph means the same wherever it is kept. A bare name is looked
/// for on the search path and stays.
fn anchor_nodes(descriptor: &mut Descriptor, folder: &Path) {
    for node in &mut descriptor.nodes {
        let Some(path) = &mut node.path else { continue };
        let is_file = path.contains('/') && !path.contains("://") && !path.contains('$');
        if is_file && Path::new(path).is_relative() {
            *path = vrft_config::joined(folder, Path::new(path)).display().to_string();
        }
    }
}

/// The variables of the environment that name a file or a folder, and the nodes that read them.
const PATH_VARIABLES: [(&str, &str); 3] =
    [(CAPTURE, "vrft-camera"), (REPLAY, "vrft-journal"), (MODEL, "vrft-segment")];
/// The one that names a model, which is no folder where it is one of the hub.
const MODEL: &str = "SAM_MODEL_ID";

/// Sets in the graph what the environment names: its nodes run in its folder, and whoever set the variable meant the folder that
/// he was in; and a run that is resumed, or asked what it was made from, knows it too. What the graph itself sets stays.
fn anchor_variables(
    descriptor: &mut Descriptor,
    working_folder: &Path,
    variable: impl Fn(&str) -> Option<String>,
) {
    for (name, reader) in PATH_VARIABLES {
        let is_read =
            descriptor.nodes.iter().any(|node| vrft_node::executable(node) == Some(reader));
        let is_set = descriptor.env.as_ref().is_some_and(|env| env.contains_key(name));
        let named = variable(name).filter(|path| !path.is_empty() && is_read && !is_set);
        let path = named.map(|path| vrft_config::joined(working_folder, Path::new(&path)));
        if let Some(path) = path.filter(|path| name != MODEL || path.exists()) {
            let env = descriptor.env.get_or_insert_default();
            env.insert(name.to_owned(), EnvValue::String(path.display().to_string()));
        }
    }
}

fn named_config(descriptor: &Descriptor) -> eyre::Result<String> {
    let variable = vrft_node::CONFIG_VARIABLE;
    let env = descriptor.env.as_ref().and_then(|env| env.get(variable));
    let named = env.map(ToString::to_string).ok_or_else(|| {
        eyre!("the graph names no configuration: set {variable} in its `env`, or give --config")
    })?;
    ensure!(!named.is_empty(), "{variable} is empty in the graph's `env`");
    Ok(named)
}

#[cfg(test)]
impl Graph {
    /// A graph that is nowhere on the disk, of nodes in YAML and a configuration in TOML.
    pub(crate) fn of_text(nodes: &str, config: &str) -> Self {
        let document = Document::parse(config, "test").unwrap();
        Self {
            path: "/nowhere/graph.yml".into(),
            folder: "/nowhere".into(),
            descriptor: yaml_serde::from_str(&format!("nodes: [{nodes}]")).unwrap(),
            config: Config::read(&document).unwrap(),
            notes: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_graph_and_its_configuration_mean_the_same_from_everywhere() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
        let options = GraphOptions {
            graph: Some(root.join("configs/../dataflow.yml")),
            ..GraphOptions::default()
        };
        let graph = Graph::load(&options).unwrap();
        assert_eq!(graph.config.policy.path, root.join("data/reasoner"));
        assert_eq!(graph.config.data.train, root.join("data/scenes/shifted-ground-shots.jsonl"));
        let expected = root.join("target/release/vrft-").display().to_string();
        for node in &graph.descriptor.nodes {
            assert!(node.path.as_ref().unwrap().starts_with(&expected), "{:?}", node.path);
        }
    }

    #[test]
    fn a_path_in_the_environment_starts_at_the_working_folder_and_one_of_the_graph_at_its_own() {
        let graph = |env: &str| -> Descriptor {
            let nodes = "[{id: a, path: x/vrft-journal, args: --replay run}]";
            yaml_serde::from_str(&format!("{{nodes: {nodes}, env: {env}}}")).unwrap()
        };
        let anchored = |env: &str, value: &'static str| {
            let mut graph = graph(env);
            let variable = |name: &str| (name == REPLAY).then(|| value.to_owned());
            anchor_variables(&mut graph, Path::new("/here"), variable);
            graph.env.and_then(|env| env.get(REPLAY).map(ToString::to_string))
        };
        assert_eq!(anchored("{}", "out/run").as_deref(), Some("/here/out/run"));
        assert_eq!(anchored("{}", "../run").as_deref(), Some("/run"));
        assert_eq!(anchored("{}", "/out/run").as_deref(), Some("/out/run"));
        assert_eq!(anchored("{}", ""), None);
        assert_eq!(anchored("{VRFT_REPLAY: own}", "out/run").as_deref(), Some("own"));
        // No node of this graph has a camera.
        let mut other = graph("{}");
        anchor_variables(&mut other, Path::new("/here"), |name| {
            (name == CAPTURE).then(|| "frames".to_owned())
        });
        assert!(other.env.unwrap_or_default().is_empty());
    }

    #[test]
    fn a_package_of_the_hub_is_started_by_doras_own_command() {
        let descriptor = yaml_serde::from_str("nodes: [{id: vlm, hub: vrft/vrft-answer@^0.1}]");
        let graph = Graph {
            path: "robot.yml".into(),
            folder: ".".into(),
            descriptor: descriptor.unwrap(),
            config: Config::default(),
            notes: Vec::new(),
        };
        let error = graph.check_sources().unwrap_err().to_string();
        assert!(error.contains("dora run \"robot.yml\""), "{error}");
        assert!(error.contains("path: target/release/vrft-answer"), "{error}");
        assert!(!graph.reads_data());
        let descriptor = yaml_serde::from_str("nodes: [{id: vlm, path: a, deploy: {machine: b}}]");
        let graph = Graph { descriptor: descriptor.unwrap(), ..graph };
        let error = graph.check_sources().unwrap_err().to_string();
        assert!(error.contains("\"vlm\" has a section `deploy`"), "{error}");
    }

    #[test]
    fn a_node_that_names_the_configuration_of_the_graph_follows_where_another_is_named() {
        let text = "nodes: [{id: a, path: b, env: {VRFT_CONFIG: c.toml, OTHER: d}}]";
        let mut descriptor: Descriptor = yaml_serde::from_str(text).unwrap();
        share_variables(&mut descriptor);
        let env = descriptor.nodes[0].env.clone().unwrap();
        assert_eq!(env.keys().collect::<Vec<_>>(), ["OTHER"]);
    }

    #[test]
    fn a_graph_without_nodes_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("empty.yml");
        std::fs::write(&path, "nodes: []").unwrap();
        let options = GraphOptions { graph: Some(path), ..GraphOptions::default() };
        let error = Graph::load(&options).unwrap_err().to_string();
        assert!(error.contains("`nodes` is empty"), "{error}");
    }
}
