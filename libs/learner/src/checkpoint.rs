//! Checkpoints: everything that a learner needs to continue as if it had not been interrupted.
//!
//! `step-000040/` is a checkpoint directory of Hugging Face, loadable by anything that reads those, with three
//! files more: `optimizer.safetensors`, `state.json` (step, cursor, settings) and `manifest.json`.

use std::fs;
use std::path::{Path, PathBuf};

use candle_core::Device;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tracing::warn;
use vrft_checkpoint::Manifest;

use crate::controllers::Controllers;
use crate::durable::{remove, replace_folder, sync_entries, sync_folder};
use crate::{Learner, LearnerError};

const OPTIMIZER: &str = "optimizer.safetensors";
const STATE: &str = "state.json";

/// The folder that a run keeps its checkpoints in.
#[derive(Debug, Clone)]
pub struct Checkpoints {
    dir: PathBuf,
    keep: usize,
}

/// A checkpoint whose files are intact.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// Folder of the checkpoint.
    pub path: PathBuf,
    /// Steps made when it was saved.
    pub step: u64,
    /// Where the data stood.
    pub cursor: Cursor,
    settings: Value,
    controllers: Controllers,
}

/// Where in the data a run stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cursor {
    /// The first prompt that was not learned from yet.
    pub next_prompt_id: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    step: u64,
    cursor: Cursor,
    settings: Value,
    #[serde(default)]
    controllers: Controllers,
}

impl Checkpoints {
    /// Opens the folder, made if need be, and tidies up after a writer that was interrupted.
    ///
    /// `keep` is how many checkpoints are kept, at least one.
    pub fn new(dir: &Path, keep: usize) -> Result<Self, LearnerError> {
        fs::create_dir_all(dir).map_err(LearnerError::io("create", dir))?;
        for name in names(dir)? {
            let path = dir.join(&name);
            if let Some(replaced) = name.strip_suffix(".old").filter(|name| step_of(name).is_some())
            {
                let original = dir.join(replaced);
                if original.exists() {
                    remove(&path)?;
                } else {
                    fs::rename(&path, original).map_err(LearnerError::io("rename", &path))?;
                }
            } else if name.strip_suffix(".tmp").and_then(step_of).is_some() {
                remove(&path)?;
            }
        }
        Ok(Self { dir: dir.to_owned(), keep: keep.max(1) })
    }

    /// Saves a learner and then removes the oldest checkpoints beyond those to keep.
    ///
    /// The checkpoint is written beside the others and renamed when all of it is on disk. If that fails or is
    /// interrupted, the others are as they were.
    pub fn save(&self, learner: &Learner, cursor: &Cursor) -> Result<PathBuf, LearnerError> {
        let path = self.path(learner.step(), "");
        let partial = self.path(learner.step(), ".tmp");
        remove(&partial)?;
        let written = write(learner, cursor, &partial).and_then(|()| sync_folder(&partial));
        if let Err(error) = written {
            // Room for the next attempt; what failed first is what should be reported.
            if let Err(error) = remove(&partial) {
                warn!(%error, "Half a checkpoint is left behind.");
            }
            return Err(error);
        }
        replace_folder(&partial, &path, &self.path(learner.step(), ".old"))?;
        self.remove_old(learner.step())?;
        Ok(path)
    }

    /// The newest intact checkpoint; `None` if none was saved. Each that is not intact is skipped with a warning.
    ///
    /// # Errors
    /// Checkpoints of which none is intact: to begin again is for a person to decide.
    pub fn newest(&self) -> Result<Option<Checkpoint>, LearnerError> {
        let steps = self.steps()?;
        let mut first_reason = None;
        for &step in steps.iter().rev() {
            let path = self.path(step, "");
            match Checkpoint::open(&path, step) {
                Ok(checkpoint) => return Ok(Some(checkpoint)),
                Err(reason) => {
                    warn!(checkpoint = vrft_config::shown(&path), %reason, "A checkpoint is not intact and was skipped.");
                    first_reason.get_or_insert(reason);
                }
            }
        }
        let n = steps.len();
        first_reason.map_or(Ok(None), |reason| {
            Err(LearnerError::NoneIntact { dir: self.dir.clone(), n, newest: Box::new(reason) })
        })
    }

    fn path(&self, step: u64, suffix: &str) -> PathBuf {
        self.dir.join(format!("step-{step:06}{suffix}"))
    }

    /// Steps with a checkpoint, in order.
    fn steps(&self) -> Result<Vec<u64>, LearnerError> {
        let mut steps: Vec<u64> =
            names(&self.dir)?.iter().filter_map(|name| step_of(name)).collect();
        steps.sort_unstable();
        Ok(steps)
    }

    /// Removes what is older than the newest ones up to this step; anything after it belongs to another run.
    fn remove_old(&self, newest: u64) -> Result<(), LearnerError> {
        let mut steps = self.steps()?;
        steps.retain(|step| *step <= newest);
        steps.truncate(steps.len().saturating_sub(self.keep));
        for step in &steps {
            remove(&self.path(*step, ""))?;
        }
        if steps.is_empty() { Ok(()) } else { sync_entries(&self.dir) }
    }
}

impl Checkpoint {
    fn open(path: &Path, step: u64) -> Result<Self, LearnerError> {
        Manifest::verify(path)?;
        let file = path.join(STATE);
        let json = fs::read(&file).map_err(LearnerError::io("read", &file))?;
        let state: State =
            serde_json::from_slice(&json).map_err(|error| LearnerError::damaged(&file, error))?;
        if state.step != step {
            let reason = format!("it should be of step {step}, got step {}", state.step);
            return Err(LearnerError::damaged(&file, reason));
        }
        let State { step, cursor, settings, controllers } = state;
        Ok(Self { path: path.to_owned(), step, cursor, settings, controllers })
    }
}

impl Learner {
    /// Takes over weights, optimizer state and step of a checkpoint.
    ///
    /// The settings stay those of this learner; one that differs from the checkpoint's is logged, since the run
    /// is then not the one that was interrupted.
    ///
    /// # Errors
    /// A checkpoint of another policy.
    pub fn restore(&mut self, checkpoint: &Checkpoint) -> Result<(), LearnerError> {
        let path = checkpoint.path.join(OPTIMIZER);
        let state = candle_core::safetensors::load(&path, &Device::Cpu)
            .map_err(|error| LearnerError::damaged(&path, error))?;
        self.optimizer
            .restore(self.policy.variables(), state)
            .map_err(|error| LearnerError::damaged(&path, error))?;
        self.policy.restore(&checkpoint.path)?;
        self.step = checkpoint.step;
        let group = self.controllers.group.take();
        self.controllers = checkpoint.controllers.clone();
        // A run that was saved before its group size was to change starts from the configured one.
        self.controllers.group = match (group, self.controllers.group.take()) {
            (Some(_), Some(saved)) => Some(saved),
            (fresh, _) => fresh,
        };
        warn_of_changes(&checkpoint.settings, &settings(self));
        Ok(())
    }
}

fn write(learner: &Learner, cursor: &Cursor, dir: &Path) -> Result<(), LearnerError> {
    fs::create_dir(dir).map_err(LearnerError::io("create", dir))?;
    learner.policy.save(dir)?;
    let state = learner.optimizer.saved(learner.policy.variables());
    let path = dir.join(OPTIMIZER);
    safetensors::serialize_to_file(state, None, &path)
        .map_err(|error| LearnerError::io("write", &path)(std::io::Error::other(error)))?;
    let state = State {
        step: learner.step,
        cursor: *cursor,
        settings: settings(learner),
        controllers: learner.controllers.clone(),
    };
    let path = dir.join(STATE);
    let json = serde_json::to_string_pretty(&state)
        .map_err(|error| LearnerError::damaged(&path, error))?;
    fs::write(&path, json).map_err(LearnerError::io("write", &path))?;
    Ok(Manifest::write(dir)?)
}

/// What a step depends on besides the weights and the batch.
fn settings(learner: &Learner) -> Value {
    json!({
        "optimizer": learner.optimizer_config,
        "loss": learner.loss_config,
        "learner": learner.config,
        "temperature": learner.temperature,
    })
}

fn warn_of_changes(saved: &Value, current: &Value) {
    let changes = changes("", saved, current);
    if !changes.is_empty() {
        warn!("Settings differ from those of the checkpoint: {}.", changes.join(", "));
    }
}

/// Each value that differs, by its key.
fn changes(at: &str, saved: &Value, current: &Value) -> Vec<String> {
    let Value::Object(fields) = current else {
        let differs = saved != current;
        return differs.then(|| format!("{at} was {saved}, is {current}")).into_iter().collect();
    };
    let inner = fields.iter().flat_map(|(key, current)| {
        let at = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
        changes(&at, &saved[key], current)
    });
    inner.collect()
}

fn names(dir: &Path) -> Result<Vec<String>, LearnerError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(LearnerError::io("list", dir))? {
        let entry = entry.map_err(LearnerError::io("list", dir))?;
        names.extend(entry.file_name().into_string().ok());
    }
    Ok(names)
}

/// The step that a folder name stands for; nothing for any other name.
fn step_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("step-")?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}
