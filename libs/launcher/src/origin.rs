//! What made a run, kept in its folder: `graph.yml`, the graph with all paths absolute, and `run.json`, the command
//! lines, the folder that the graph stood in and fingerprints of the data. `config.toml` beside them is the
//! configuration with every default written out.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use dora_message::descriptor::Descriptor;
use eyre::{WrapErr, bail};
use serde::{Deserialize, Serialize};
use twox_hash::xxhash3_128::Hasher;

/// The graph of a run, in its folder.
pub(crate) const GRAPH: &str = "graph.yml";
const RUN: &str = "run.json";

/// How a run came to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Origin {
    /// The command lines: of the start, and of every resume.
    pub(crate) commands: Vec<String>,
    /// Version of this program at the start.
    pub(crate) version: String,
    /// The file that the graph was read from.
    pub(crate) graph: PathBuf,
    /// The folder in which nodes and build lines run.
    pub(crate) folder: PathBuf,
    /// The files of the data by their paths.
    pub(crate) data: BTreeMap<PathBuf, Fingerprint>,
    /// What is not wrong and still should be known; the report shows it.
    #[serde(default)]
    pub(crate) warnings: Vec<String>,
}

/// What tells one content of a file from another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fingerprint {
    pub(crate) bytes: u64,
    /// Checksum of the whole content.
    pub(crate) xxh3: String,
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
        let origin = serde_json::from_str(&text).wrap_err_with(|| format!("in {run:?}"))?;
        let text =
            std::fs::read_to_string(&graph).wrap_err_with(|| format!("cannot read {graph:?}"))?;
        let descriptor = yaml_serde::from_str(&text).wrap_err_with(|| format!("in {graph:?}"))?;
        Ok(Some((origin, descriptor)))
    }

    /// Writes both files; each is whole or as it was before.
    ///
    /// # Errors
    /// A folder that cannot be written.
    pub(crate) fn write(&self, descriptor: &Descriptor, run_dir: &Path) -> eyre::Result<()> {
        let graph = yaml_serde::to_string(descriptor).wrap_err("the graph cannot be printed")?;
        replace(&run_dir.join(GRAPH), &graph)?;
        replace(&run_dir.join(RUN), &serde_json::to_string_pretty(self)?)
    }

    /// Refuses data that is not what the run began with.
    ///
    /// # Errors
    /// The files that changed, came or went.
    pub(crate) fn check_data(&self, now: &BTreeMap<PathBuf, Fingerprint>) -> eyre::Result<()> {
        let mut changed = Vec::new();
        for (path, before) in &self.data {
            match now.get(path) {
                None => changed.push(format!("{} is gone", path.display())),
                Some(now) if now != before => changed.push(format!(
                    "{} has another content ({} bytes before, {} now)",
                    path.display(),
                    before.bytes,
                    now.bytes
                )),
                Some(_) => {}
            }
        }
        let new = now.keys().filter(|path| !self.data.contains_key(*path));
        changed.extend(new.map(|path| format!("{} is new", path.display())));
        if changed.is_empty() {
            return Ok(());
        }
        bail!(
            "the data is not what this run began with: {}. Restore it, or add --with-changes to continue with what is there",
            changed.join("; ")
        )
    }
}

/// Fingerprints of these files; of a folder, of the data files in it.
///
/// # Errors
/// A file that cannot be read.
pub(crate) fn fingerprints(paths: &[PathBuf]) -> eyre::Result<BTreeMap<PathBuf, Fingerprint>> {
    let mut found = BTreeMap::new();
    for path in paths {
        for file in files_of(path)? {
            let print = fingerprint(&file).wrap_err_with(|| format!("cannot read {file:?}"))?;
            found.insert(file, print);
        }
    }
    Ok(found)
}

fn fingerprint(path: &Path) -> std::io::Result<Fingerprint> {
    let mut file = File::open(path)?;
    let mut hasher = Hasher::new();
    let mut bytes = 0;
    let mut block = vec![0; 1 << 20];
    loop {
        match file.read(&mut block)? {
            0 => break,
            n => {
                hasher.write(&block[..n]);
                bytes += n as u64;
            }
        }
    }
    Ok(Fingerprint { bytes, xxh3: format!("{:032x}", hasher.finish_128()) })
}

/// Extensions of files that rows are read from.
const DATA: [&str; 7] = ["parquet", "arrow", "feather", "jsonl", "json", "csv", "xml"];

fn files_of(path: &Path) -> eyre::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(if path.is_file() { vec![path.to_owned()] } else { Vec::new() });
    }
    let mut files = Vec::new();
    let entries = std::fs::read_dir(path).wrap_err_with(|| format!("cannot list {path:?}"))?;
    for entry in entries {
        let path = entry?.path();
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or("");
        if path.is_dir() {
            files.extend(files_of(&path)?);
        } else if DATA.contains(&extension) {
            files.push(path);
        }
    }
    Ok(files)
}

fn replace(path: &Path, text: &str) -> eyre::Result<()> {
    let partial = path.with_extension("partial");
    std::fs::write(&partial, text)
        .and_then(|()| std::fs::rename(&partial, path))
        .wrap_err_with(|| format!("cannot write {path:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(data: BTreeMap<PathBuf, Fingerprint>) -> Origin {
        Origin {
            commands: vec!["vrft run".into()],
            version: "1".into(),
            graph: "/a/graph.yml".into(),
            folder: "/a".into(),
            data,
            warnings: vec![],
        }
    }

    #[test]
    fn what_made_a_run_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Origin::read(folder.path()).unwrap().is_none());
        let text = include_str!("../../../dataflow.yml");
        let descriptor: Descriptor = yaml_serde::from_str(text).unwrap();
        let written = origin(BTreeMap::new());
        written.write(&descriptor, folder.path()).unwrap();
        let (origin, read) = Origin::read(folder.path()).unwrap().unwrap();
        assert_eq!(origin, written);
        let printed = |graph: &Descriptor| yaml_serde::to_string(graph).unwrap();
        assert_eq!(printed(&read), printed(&descriptor));
    }

    #[test]
    fn data_that_changed_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        std::fs::write(file("a.jsonl"), "1").unwrap();
        std::fs::write(file("picture.png"), "1").unwrap();
        let paths = [folder.path().to_owned()];
        let origin = origin(fingerprints(&paths).unwrap());
        assert_eq!(origin.data.len(), 1);
        origin.check_data(&fingerprints(&paths).unwrap()).unwrap();
        std::fs::write(file("a.jsonl"), "2").unwrap();
        std::fs::write(file("b.jsonl"), "3").unwrap();
        let error = origin.check_data(&fingerprints(&paths).unwrap()).unwrap_err().to_string();
        for word in ["a.jsonl has another content", "b.jsonl is new", "--with-changes"] {
            assert!(error.contains(word), "{error}");
        }
    }
}
