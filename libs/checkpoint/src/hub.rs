//! From the name of a model on the Hugging Face hub to a directory on this machine.

use std::fs::{self, File};
use std::path::{Component, Path, PathBuf};

use hf_hub::api::sync::{ApiBuilder, ApiError};
use hf_hub::{Cache, Repo};
use serde_json::Value;

use crate::{CheckpointError, JsonFile};

/// The checkpoint directory that `policy.path` names.
///
/// An existing path is itself. Of the form `owner/name` it is a model of the Hugging Face hub: its snapshot in the
/// local cache (`HF_HUB_CACHE`, else `HF_HOME`, else `~/.cache/huggingface`), downloaded with a progress bar if it is
/// not there, unless `HF_HUB_OFFLINE` says not to. Any other path is returned unchanged; opening it names the error.
///
/// # Errors
/// A model that is not in the cache and cannot be downloaded.
pub fn checkpoint_dir(path: &Path) -> Result<PathBuf, CheckpointError> {
    match model_name(path) {
        Some(model) if !path.exists() => Hub::from_env(Contents::Policy).checkpoint(&model),
        _ => Ok(path.to_owned()),
    }
}

/// [`checkpoint_dir`] of a model that sees and does not speak: it needs no tokenizer.
///
/// # Errors
/// As [`checkpoint_dir`].
pub fn vision_model_dir(path: &Path) -> Result<PathBuf, CheckpointError> {
    match model_name(path) {
        Some(model) if !path.exists() => Hub::from_env(Contents::Vision).checkpoint(&model),
        _ => Ok(path.to_owned()),
    }
}

/// The checkpoint directory that `policy.path` names, if it is on this machine; nothing is downloaded.
pub fn local_checkpoint_dir(path: &Path) -> Option<PathBuf> {
    if path.exists() {
        return Some(path.to_owned());
    }
    Hub::from_env(Contents::Policy).cached(&model_name(path)?).ok()
}

/// The directory of the model that an adapter names as its base: by its name on the hub, or by a snapshot in the cache of
/// another machine. `None` for any other path. Where this revision of the model is in the cache, it is that one.
pub(crate) fn named_model(
    path: &Path,
    revision: Option<&str>,
) -> Option<Result<PathBuf, CheckpointError>> {
    let snapshot = model_of_snapshot(path);
    let revision = revision.map(str::to_owned).or(snapshot.as_ref().map(|found| found.1.clone()));
    let model = snapshot.map(|found| found.0).or_else(|| model_name(path))?;
    let hub = Hub::from_env(Contents::Policy);
    let exact = revision.map(|revision| hub.snapshot(&model, &revision));
    Some(match exact.filter(|folder| folder.join("config.json").exists()) {
        Some(folder) => Ok(folder),
        None => hub.checkpoint(&model),
    })
}

/// `owner/name` and the revision of a snapshot in a cache of the hub, `…/models--owner--name/snapshots/REVISION`.
pub(crate) fn model_of_snapshot(path: &Path) -> Option<(String, String)> {
    let mut parts = path.components().rev().filter_map(|part| part.as_os_str().to_str());
    let revision = parts.next()?;
    let snapshots = parts.next()?;
    let folder = parts.next()?;
    let (owner, name) = folder.strip_prefix("models--")?.split_once("--")?;
    (snapshots == "snapshots").then(|| (format!("{owner}/{name}"), revision.to_owned()))
}

/// `owner/name`, if the path has that form.
fn model_name(path: &Path) -> Option<String> {
    let mut parts = path.components().map(|part| match part {
        Component::Normal(text) => text.to_str().filter(|text| is_name(text)),
        _ => None,
    });
    match (parts.next()??, parts.next()??, parts.next()) {
        (owner, name, None) => Some(format!("{owner}/{name}")),
        _ => None,
    }
}

/// Whether the hub would take it for the name of an owner or a model.
fn is_name(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    text.chars().all(allowed) && !text.starts_with(['-', '.'])
}

/// The local cache, and whether there is more than that.
struct Hub {
    cache: Cache,
    offline: bool,
    contents: Contents,
}

/// What kind of model is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Contents {
    /// One that speaks.
    Policy,
    /// One that sees and does not speak.
    Vision,
}

impl Contents {
    /// Files that it needs besides its configuration and its weights.
    fn needed(self) -> &'static [&'static str] {
        match self {
            Contents::Policy => &["tokenizer.json"],
            Contents::Vision => &[],
        }
    }

    /// All of its files, for somebody who puts them together.
    fn files(self) -> &'static str {
        match self {
            Contents::Policy => {
                "config.json, tokenizer.json, tokenizer_config.json, preprocessor_config.json, chat_template.json, *.safetensors"
            }
            Contents::Vision => "config.json, preprocessor_config.json, model.safetensors",
        }
    }
}

impl Hub {
    fn from_env(contents: Contents) -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let cache = match variable("HF_HUB_CACHE") {
            Some(folder) => Cache::new(folder.into()),
            None => Cache::from_env(),
        };
        Self { cache, offline: is_on(variable("HF_HUB_OFFLINE").as_deref()), contents }
    }

    fn snapshot(&self, model: &str, revision: &str) -> PathBuf {
        let folder = Repo::model(model.to_owned()).folder_name();
        self.cache.path().join(folder).join("snapshots").join(revision)
    }

    fn checkpoint(&self, model: &str) -> Result<PathBuf, CheckpointError> {
        let missing = match self.cached(model) {
            Ok(found) => return Ok(found),
            Err(missing) => missing,
        };
        let reason = if self.offline {
            "HF_HUB_OFFLINE is set".to_owned()
        } else {
            match self.download(model) {
                Ok(()) => "its files were downloaded and are not enough".to_owned(),
                Err(error) => error.to_string(),
            }
        };
        self.cached(model).map_err(|_before| CheckpointError::Hub {
            model: model.to_owned(),
            cache: self.cache.path().clone(),
            reason: format!("where {missing}, and cannot be downloaded: {reason}"),
            files: self.contents.files(),
        })
    }

    /// The snapshot of a model if all that is needed is there, else what is not.
    fn cached(&self, model: &str) -> Result<PathBuf, String> {
        let repo = self.cache.repo(Repo::model(model.to_owned()));
        let config = repo.get("config.json").ok_or("config.json is not there")?;
        let folder = config.parent().unwrap_or(&config).to_owned();
        let needed = self.contents.needed().iter().map(|name| (*name).to_owned());
        let mut needed = needed.chain(weight_files(&folder));
        match needed.find(|file| !folder.join(file).exists()) {
            Some(file) => Err(format!("{file} is not there")),
            None => Ok(folder),
        }
    }

    /// Fetches what a checkpoint needs, the weights last.
    fn download(&self, model: &str) -> Result<(), ApiError> {
        let api = ApiBuilder::from_cache(self.cache.clone()).with_progress(true);
        let api = match std::env::var("HF_ENDPOINT") {
            Ok(endpoint) => api.with_endpoint(endpoint),
            Err(_unset) => api,
        };
        let api = match std::env::var("HF_TOKEN") {
            Ok(token) => api.with_token(Some(token)),
            Err(_unset) => api,
        };
        let repo = api.build()?.model(model.to_owned());
        // Nodes that start together wait for the first of them, and find its files in the cache.
        let folder = self.cache.path().join(Repo::model(model.to_owned()).folder_name());
        fs::create_dir_all(&folder)?;
        let lock = File::create(folder.join("download.lock"))?;
        lock.lock()?;
        let siblings = repo.info()?.siblings;
        let mut files: Vec<String> = siblings.into_iter().map(|file| file.rfilename).collect();
        files.retain(|file| is_wanted(file));
        files.sort_by_key(|file| file.ends_with(WEIGHTS));
        for file in files {
            repo.get(&file)?;
        }
        Ok(())
    }
}

const WEIGHTS: &str = ".safetensors";

/// Settings, templates and safetensors at the top level; other formats of the same weights are left alone.
fn is_wanted(file: &str) -> bool {
    let ends = [".json", ".jinja", WEIGHTS];
    !file.contains('/') && ends.iter().any(|end| file.ends_with(end))
}

/// The files that a snapshot's index names, or the only one.
fn weight_files(folder: &Path) -> Vec<String> {
    let index = JsonFile::read(&folder.join("model.safetensors.index.json")).ok().flatten();
    let map = index.as_ref().and_then(|index| index.value()["weight_map"].as_object());
    let Some(map) = map else { return vec!["model.safetensors".to_owned()] };
    let mut files: Vec<String> =
        map.values().filter_map(Value::as_str).map(str::to_owned).collect();
    files.sort();
    files.dedup();
    files
}

/// As Python's huggingface_hub reads its switches.
fn is_on(value: Option<&str>) -> bool {
    let value = value.map(str::to_uppercase);
    matches!(value.as_deref(), Some("1" | "ON" | "YES" | "TRUE"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODEL: &str = "Qwen/Qwen2-VL-2B-Instruct";
    const INDEX: &str = r#"{"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors",
                                           "c": "model-1.safetensors"}}"#;

    /// A cache that holds these files of the model, as the hub's own clients lay it out.
    fn hub(files: &[(&str, &str)]) -> (tempfile::TempDir, Hub) {
        let dir = tempfile::tempdir().expect("temporary folder");
        let cache = Cache::new(dir.path().to_owned());
        let repo = cache.repo(Repo::model(MODEL.to_owned()));
        repo.create_ref("abc123").expect("a reference");
        let snapshot = repo.pointer_path("abc123");
        fs::create_dir_all(&snapshot).expect("a folder");
        for (file, text) in files {
            fs::write(snapshot.join(file), text).expect("writes");
        }
        (dir, Hub { cache, offline: true, contents: Contents::Policy })
    }

    #[test]
    fn a_model_in_the_cache_is_found() {
        let small = [("config.json", "{}"), ("tokenizer.json", "{}")];
        let (dir, hub) = hub(&[small.as_slice(), &[("model.safetensors", "")]].concat());
        let expected = dir.path().join("models--Qwen--Qwen2-VL-2B-Instruct/snapshots/abc123");
        assert_eq!(hub.checkpoint(MODEL).expect("cached"), expected);
    }

    #[track_caller]
    fn check_missing(files: &[(&str, &str)], expected: &str) {
        let (_dir, hub) = hub(files);
        let message = hub.checkpoint(MODEL).expect_err("incomplete").to_string();
        assert!(message.contains(&format!("where {expected} is not there,")), "{message}");
        assert!(message.contains("cannot be downloaded: HF_HUB_OFFLINE is set"), "{message}");
        assert!(message.contains("`hf download Qwen/Qwen2-VL-2B-Instruct`"), "{message}");
        assert!(
            message.contains("chat_template.json") && message.ends_with("name that directory"),
            "{message}"
        );
    }

    #[test]
    fn a_model_that_does_not_speak_needs_no_tokenizer() {
        let (dir, mut hub) = hub(&[("config.json", "{}")]);
        hub.contents = Contents::Vision;
        let message = hub.checkpoint(MODEL).expect_err("no weights").to_string();
        assert!(message.contains("where model.safetensors is not there"), "{message}");
        assert!(!message.contains("tokenizer") && !message.contains("policy.path"), "{message}");
        let snapshot = dir.path().join("models--Qwen--Qwen2-VL-2B-Instruct/snapshots/abc123");
        fs::write(snapshot.join("model.safetensors"), "").expect("writes");
        assert_eq!(hub.checkpoint(MODEL).expect("cached"), snapshot);
    }

    #[test]
    fn what_the_cache_lacks_is_named() {
        let shard = ("model-1.safetensors", "");
        let files = [
            ("config.json", "{}"),
            ("tokenizer.json", "{}"),
            ("model.safetensors.index.json", INDEX),
            shard,
        ];
        check_missing(&[], "config.json");
        check_missing(&files[..1], "tokenizer.json");
        check_missing(&files[..2], "model.safetensors");
        check_missing(&files[..3], "model-1.safetensors");
        check_missing(&files[..4], "model-2.safetensors");
    }

    #[test]
    fn a_path_is_itself() {
        assert_eq!(local_checkpoint_dir(Path::new("/")), Some("/".into()));
        assert_eq!(local_checkpoint_dir(Path::new("gone/a/b")), None);
        let dir = tempfile::tempdir().expect("temporary folder");
        assert_eq!(checkpoint_dir(dir.path()).expect("exists"), dir.path());
        for path in ["nowhere", "nowhere/at/all", "./data/starter", "/data/starter", "../a"] {
            assert_eq!(checkpoint_dir(Path::new(path)).expect("no model"), Path::new(path));
        }
    }

    #[test]
    fn an_owner_and_a_name_are_a_model() {
        assert_eq!(model_name(Path::new(MODEL)).as_deref(), Some(MODEL));
        assert_eq!(model_name(Path::new("Qwen/two words")), None);
        assert_eq!(model_name(Path::new("Qwen/.hidden")), None);
    }

    #[test]
    fn only_what_a_checkpoint_needs_is_fetched() {
        for file in ["config.json", "chat_template.jinja", "model-00001-of-00002.safetensors"] {
            assert!(is_wanted(file), "{file}");
        }
        for file in ["pytorch_model.bin", "README.md", "onnx/model.json", "merges.txt"] {
            assert!(!is_wanted(file), "{file}");
        }
    }

    #[test]
    fn offline_is_a_switch() {
        assert!(["1", "true", "Yes", "ON"].iter().all(|value| is_on(Some(value))));
        assert!([None, Some("0"), Some("no"), Some("")].iter().all(|value| !is_on(*value)));
    }
}
