//! What made a run, kept in its folder: `graph.yml`, the graph with all paths absolute; `run.json`, the command lines, the
//! folder that the graph stood in, and what the configuration, the data and the weights were; `pictures.json`, the
//! fingerprints of the pictures. `config.toml` beside them is the configuration with every default written out.

use std::path::{Path, PathBuf};

use dora_message::descriptor::Descriptor;
use eyre::{WrapErr, bail};
use serde::{Deserialize, Serialize};
use vrft_config::Document;

use crate::config::Config;
use crate::difference;
use crate::fingerprint::{Fingerprint, Fingerprints, differences};

/// The graph of a run, in its folder.
pub(crate) const GRAPH: &str = "graph.yml";
const RUN: &str = "run.json";
const PICTURES: &str = "pictures.json";

/// Differences that an error names.
const NAMED: usize = 8;

/// How a run came to be.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Origin {
    /// The command lines: of the start, and of every resume.
    pub(crate) commands: Vec<String>,
    /// Version of this program at the start.
    pub(crate) version: String,
    /// The file that the graph was read from.
    pub(crate) graph: PathBuf,
    /// The folder in which nodes and build lines run.
    pub(crate) folder: PathBuf,
    /// What the run is made of; empty in a run of an earlier version.
    #[serde(flatten)]
    pub(crate) made_of: MadeOf,
    /// What is not wrong and still should be known; the report shows it.
    #[serde(default)]
    pub(crate) warnings: Vec<String>,
}

/// What a run is made of besides its graph.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct MadeOf {
    /// The whole configuration, as `config.toml` had it.
    #[serde(default)]
    pub(crate) config: Option<String>,
    /// What `graph.yml` was.
    #[serde(default)]
    pub(crate) graph_file: Option<Fingerprint>,
    /// The files of the data by their paths.
    #[serde(default)]
    pub(crate) data: Fingerprints,
    /// The files of the policy that the run starts from.
    #[serde(default)]
    pub(crate) weights: Option<Fingerprints>,
    /// The pictures that the rows name; in a file of their own, since there may be many.
    #[serde(skip)]
    pub(crate) pictures: Option<Fingerprints>,
}

impl Origin {
    /// Reads what made a run; `None` if the folder does not say, as where `dora` itself has started the run.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub(crate) fn read(run_dir: &Path) -> eyre::Result<Option<(Self, Descriptor)>> {
        let (run, graph) = (run_dir.join(RUN), run_dir.join(GRAPH));
        if !run.exists() || !graph.exists() {
            return Ok(None);
        }
        let text =
            std::fs::read_to_string(&run).wrap_err_with(|| format!("cannot read {run:?}"))?;
        let mut origin: Self =
            serde_json::from_str(&text).wrap_err_with(|| format!("in {run:?}"))?;
        let pictures = run_dir.join(PICTURES);
        if pictures.exists() {
            let text =
                std::fs::read(&pictures).wrap_err_with(|| format!("cannot read {pictures:?}"))?;
            let read = serde_json::from_slice(&text);
            origin.made_of.pictures = Some(read.wrap_err_with(|| format!("in {pictures:?}"))?);
        }
        let text =
            std::fs::read_to_string(&graph).wrap_err_with(|| format!("cannot read {graph:?}"))?;
        let descriptor = yaml_serde::from_str(&text).wrap_err_with(|| format!("in {graph:?}"))?;
        Ok(Some((origin, descriptor)))
    }

    /// What `graph.yml` of a run's folder is now.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub(crate) fn graph_file(run_dir: &Path) -> eyre::Result<Option<Fingerprint>> {
        let path = run_dir.join(GRAPH);
        if !path.exists() {
            return Ok(None);
        }
        let text =
            std::fs::read_to_string(&path).wrap_err_with(|| format!("cannot read {path:?}"))?;
        Ok(Some(Fingerprint::of_text(&text)))
    }

    /// Writes the files; each is whole or as it was before.
    ///
    /// # Errors
    /// A folder that cannot be written.
    pub(crate) fn write(&self, descriptor: &Descriptor, run_dir: &Path) -> eyre::Result<()> {
        let graph = yaml_serde::to_string(descriptor).wrap_err("the graph cannot be printed")?;
        replace(&run_dir.join(GRAPH), &graph)?;
        if let Some(pictures) = &self.made_of.pictures {
            replace(&run_dir.join(PICTURES), &serde_json::to_string(pictures)?)?;
        }
        let graph_file = Some(Fingerprint::of_text(&graph));
        let made_of = MadeOf { graph_file, ..self.made_of.clone() };
        let written = Self { made_of, ..self.clone() };
        replace(&run_dir.join(RUN), &serde_json::to_string_pretty(&written)?)
    }
}

impl MadeOf {
    /// Refuses to go on with anything else than what the run began with. `config` is the configuration that its folder
    /// holds now.
    ///
    /// # Errors
    /// What changed, came or went, by key or file.
    pub(crate) fn check(&self, now: &Self, config: &Config, folder: &Path) -> eyre::Result<()> {
        let mut changed = self.changed_keys(config, folder)?;
        if self.graph_file.is_some() && self.graph_file != now.graph_file {
            changed.push(format!("{GRAPH} in the run's folder was edited"));
        }
        changed.extend(differences(&self.data, &now.data));
        let both = [(&self.weights, &now.weights), (&self.pictures, &now.pictures)];
        for (before, now) in both {
            if let (Some(before), Some(now)) = (before, now) {
                changed.extend(differences(before, now));
            }
        }
        if changed.is_empty() {
            return Ok(());
        }
        let further = changed.len().saturating_sub(NAMED);
        changed.truncate(NAMED);
        if further > 0 {
            changed.push(format!("and {further} more"));
        }
        bail!(
            "this is not what the run began with:\n    {}\n  Restore it, or add --with-changes to continue with what is there",
            changed.join("\n    ")
        )
    }

    /// The keys of `config.toml` that somebody has edited.
    fn changed_keys(&self, now: &Config, folder: &Path) -> eyre::Result<Vec<String>> {
        let Some(text) = &self.config else { return Ok(Vec::new()) };
        let before = Document::parse(text, RUN).and_then(|document| Config::read(&document));
        let mut before = before.wrap_err("the configuration that the run began with")?;
        before.anchor(folder);
        let changed = difference::of_configs(&before, now)?;
        Ok(changed.into_iter().map(|key| format!("config.toml: {key}")).collect())
    }
}

fn replace(path: &Path, text: &str) -> eyre::Result<()> {
    vrft_config::replace(path, text).wrap_err_with(|| format!("cannot write {path:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_made_a_run_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Origin::read(folder.path()).unwrap().is_none());
        let text = include_str!("../../../dataflow.yml");
        let descriptor: Descriptor = yaml_serde::from_str(text).unwrap();
        let pictures = Some(Fingerprints::from([("a.png".into(), Fingerprint::of_text("a"))]));
        let made_of = MadeOf { pictures, config: Some(String::new()), ..MadeOf::default() };
        let written = Origin {
            commands: vec!["vrft run".into()],
            version: "1".into(),
            graph: "/a/graph.yml".into(),
            folder: "/a".into(),
            made_of,
            warnings: vec![],
        };
        written.write(&descriptor, folder.path()).unwrap();
        let (origin, read) = Origin::read(folder.path()).unwrap().unwrap();
        assert_eq!(origin.made_of.graph_file, Origin::graph_file(folder.path()).unwrap());
        let made_of = MadeOf { graph_file: None, ..origin.made_of.clone() };
        assert_eq!(Origin { made_of, ..origin }, written);
        let printed = |graph: &Descriptor| yaml_serde::to_string(graph).unwrap();
        assert_eq!(printed(&read), printed(&descriptor));
    }

    #[test]
    fn a_run_of_an_earlier_version_is_read_without_what_it_does_not_say() {
        let text = r#"{"commands": [], "version": "0", "graph": "g", "folder": "f", "data": {}}"#;
        let origin: Origin = serde_json::from_str(text).unwrap();
        let now = MadeOf { weights: Some(Fingerprints::new()), ..MadeOf::default() };
        origin.made_of.check(&now, &Config::default(), Path::new("")).unwrap();
    }

    #[test]
    fn everything_that_is_not_as_it_was_is_named() {
        let print = |text: &str| Fingerprint::of_text(text);
        let files = |text: &str| Some(Fingerprints::from([("some.file".into(), print(text))]));
        let config = Config::default();
        let before = MadeOf {
            config: Some(config.to_toml()),
            graph_file: Some(print("a")),
            weights: files("a"),
            pictures: files("a"),
            data: files("a").unwrap(),
        };
        before.check(&before, &config, Path::new("")).unwrap();
        let check = |now: &MadeOf, config: &Config, words: &str| {
            let error = before.check(now, config, Path::new("")).unwrap_err().to_string();
            assert!(error.contains(words) && error.contains("--with-changes"), "{error}");
        };
        let mut edited = config.clone();
        edited.learner.steps += 1;
        check(&before, &edited, "config.toml: config.learner.steps: 100 before, 101 now");
        check(&MadeOf { graph_file: Some(print("b")), ..before.clone() }, &config, GRAPH);
        for now in [
            MadeOf { weights: files("b"), ..before.clone() },
            MadeOf { pictures: files("b"), ..before.clone() },
            MadeOf { data: files("b").unwrap(), ..before.clone() },
        ] {
            check(&now, &config, "some.file has another content");
        }
    }
}
