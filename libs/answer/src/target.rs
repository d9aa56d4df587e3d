//! Which checkpoint is meant: a folder, a model of the hub, the best of a run, or what was promoted.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::AnswerError;

/// Name of the link to the policy in use, within the folder of the promoted ones.
pub const CURRENT: &str = "current";

/// What stands for the promoted policy where a checkpoint is named.
const PROMOTED: &str = "promoted";

/// What is in the folder of every model, and of every adapter.
const MODEL: &str = "config.json";
const ADAPTER: &str = "adapter_config.json";

/// Name of the configuration in a run folder and beside a promoted policy.
const CONFIG: &str = "config.toml";

/// The learner of a run whose policy is meant, where there are several.
const LEARNER: &str = "learner";

/// Folder of a run with the checkpoints of its learners, a folder each.
const CHECKPOINTS: &str = "checkpoints";

/// File of a run that names the best policy of each learner, which its evaluator keeps.
const BEST: &str = "best.json";

/// A checkpoint and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Folder of the checkpoint.
    pub checkpoint: PathBuf,
    /// What answers call it.
    pub version: String,
    /// The configuration of the run that made it, if that is there.
    pub config: Option<PathBuf>,
    /// Why this one, where the name leaves a choice.
    pub choice: Option<String>,
}

/// The best policy of a learner, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Best {
    #[serde(default)]
    learner: Option<String>,
    step: u64,
    measure: String,
    value: f64,
    #[serde(default)]
    base: Option<f64>,
    chosen_on: String,
    /// Its folder, within the run folder.
    checkpoint: PathBuf,
}

impl Target {
    /// Finds what a name means: `promoted`, the policy in use in the folder `served`; a run folder, the best policy that
    /// it has kept, or its newest checkpoint where nothing was evaluated; a checkpoint folder; `owner/name`, a model of
    /// the Hugging Face hub.
    ///
    /// # Errors
    /// Nothing of that name, with what was looked for.
    pub fn find(name: &str, served: &Path) -> Result<Self, AnswerError> {
        let path = Path::new(name);
        if name == PROMOTED {
            let why = || {
                let served = served.display();
                format!("no policy was promoted to {served} yet: `vrft promote RUN` does that")
            };
            return promoted(served)?.ok_or_else(|| refused(name, why()));
        }
        if Self::is_choice(path) {
            return of_run(path);
        }
        let checkpoint = vrft_checkpoint::checkpoint_dir(path)?;
        let expected =
            "a checkpoint folder, a run folder, `promoted`, or a model of the hub as owner/name";
        if !checkpoint.is_dir() {
            let is_file = if checkpoint.exists() { "it is no folder: " } else { "" };
            return Err(refused(name, format!("{is_file}expected {expected}")));
        }
        let holds = |file: &str| checkpoint.join(file).is_file();
        if !holds(MODEL) && !holds(ADAPTER) {
            let why = format!(
                "there is no checkpoint in it: neither {MODEL} (of a model) nor {ADAPTER} (of an adapter), nor the {CONFIG} and \
                 {CHECKPOINTS} of a run; expected {expected}"
            );
            return Err(refused(name, why));
        }
        let version = file_name(&checkpoint).unwrap_or_else(|| name.to_owned());
        let config = config_of(&checkpoint);
        Ok(Self { checkpoint, version, config, choice: None })
    }

    /// Whether a name stands for a checkpoint that is somewhere else: `promoted`, or the folder of a run.
    pub fn is_choice(path: &Path) -> bool {
        let is_run = path.join(CONFIG).is_file() && !path.join(MODEL).is_file();
        let is_run = is_run && !path.join(ADAPTER).is_file();
        path == Path::new(PROMOTED)
            || is_run
            || path.join(BEST).is_file()
            || path.join(CHECKPOINTS).is_dir()
    }
}

/// The policy in use, in the folder of the promoted ones; `None` if there is none yet.
///
/// # Errors
/// A link that cannot be read or leads nowhere.
pub fn promoted(served: &Path) -> Result<Option<Target>, AnswerError> {
    let link = served.join(CURRENT);
    let name = match std::fs::read_link(&link) {
        Ok(name) => name,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(AnswerError::File { path: link, source }),
    };
    let checkpoint = served.join(&name);
    if !checkpoint.is_dir() {
        let why = format!("it names {checkpoint:?}, which is not there");
        return Err(refused(&link.display().to_string(), why));
    }
    let config = Some(checkpoint.join(CONFIG)).filter(|path| path.is_file());
    let version = name.display().to_string();
    Ok(Some(Target { checkpoint, version, config, choice: None }))
}

/// The best policy of a run, or the newest where none was kept; of the learner of that name where there are several.
fn of_run(run: &Path) -> Result<Target, AnswerError> {
    let name = run.display().to_string();
    let best = best_of_run(run)?;
    let folder = run.join(CHECKPOINTS);
    let mut learners = if folder.is_dir() { folders(&folder)? } else { Vec::new() };
    learners.extend(best.iter().filter_map(|best| best.learner.clone()));
    learners.sort();
    learners.dedup();
    let learner = match &learners[..] {
        [] => return Err(refused(&name, "no checkpoint was saved in this run".to_owned())),
        [only] => only,
        _ => learners.iter().find(|found| found.as_str() == LEARNER).ok_or_else(|| {
            refused(&name, format!("it has checkpoints of {learners:?}: name the folder of one"))
        })?,
    };
    let config = Some(run.join(CONFIG)).filter(|path| path.is_file());
    let of_learner = |best: &&Best| best.learner.as_deref() == Some(learner);
    if let Some(best) = best.iter().find(of_learner) {
        let checkpoint = run.join(&best.checkpoint);
        let version = file_name(&checkpoint).unwrap_or_default();
        return Ok(Target { checkpoint, version, config, choice: Some(best.to_string()) });
    }
    let folder = folder.join(learner);
    let steps = if folder.is_dir() { folders(&folder)? } else { Vec::new() };
    let newest =
        steps.into_iter().filter(|name| step_of(name).is_some()).max_by_key(|name| step_of(name));
    let newest = newest.ok_or_else(|| {
        refused(&name, format!("there is no checkpoint of {learner:?} in it yet"))
    })?;
    let choice = format!(
        "{newest}, the newest checkpoint of {learner:?}: none was evaluated and kept as the best"
    );
    Ok(Target { checkpoint: folder.join(&newest), version: newest, config, choice: Some(choice) })
}

/// What the run's evaluator has kept. A policy whose folder is gone does not count.
fn best_of_run(run: &Path) -> Result<Vec<Best>, AnswerError> {
    let path = run.join(BEST);
    if !path.is_file() {
        return Ok(Vec::new());
    }
    let text =
        std::fs::read(&path).map_err(|source| AnswerError::File { path: path.clone(), source })?;
    let best: BTreeMap<String, Best> = serde_json::from_slice(&text)
        .map_err(|error| refused(&path.display().to_string(), error.to_string()))?;
    Ok(best.into_values().filter(|best| run.join(&best.checkpoint).is_dir()).collect())
}

impl std::fmt::Display for Best {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { step, measure, value, base, chosen_on, .. } = self;
        write!(f, "step {step}, the best of the run: {measure} {value:.3} on {chosen_on}")?;
        match base {
            Some(base) if base >= value => {
                write!(f, ", no better than the {base:.3} that it started from")
            }
            Some(base) => write!(f, ", {base:.3} at its start"),
            None => Ok(()),
        }
    }
}

/// The step of a finished checkpoint's folder, as `step-000040`; one that is being written has another name.
fn step_of(name: &str) -> Option<u64> {
    name.strip_prefix("step-")?.parse().ok()
}

/// The configuration beside a checkpoint, or of the run that it lies in: `RUN/checkpoints/LEARNER/step-N`, or
/// `RUN/best/LABEL/step-N`.
fn config_of(checkpoint: &Path) -> Option<PathBuf> {
    let beside = checkpoint.join(CONFIG);
    if beside.is_file() {
        return Some(beside);
    }
    let whole = checkpoint.canonicalize().ok()?;
    let run = whole.ancestors().nth(3)?;
    let in_run = ["checkpoints", "best"].iter().any(|folder| whole.starts_with(run.join(folder)));
    Some(run.join(CONFIG)).filter(|path| in_run && path.is_file())
}

/// Names of the folders in a folder, sorted.
fn folders(folder: &Path) -> Result<Vec<String>, AnswerError> {
    let failed = |source| AnswerError::File { path: folder.to_owned(), source };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        names.extend(file_name(&path).filter(|_| path.is_dir()));
    }
    names.sort();
    Ok(names)
}

fn file_name(path: &Path) -> Option<String> {
    Some(path.file_name()?.to_string_lossy().into_owned())
}

fn refused(name: &str, why: String) -> AnswerError {
    AnswerError::Target { name: name.to_owned(), why }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run_with(learners: &[&str]) -> tempfile::TempDir {
        let run = tempfile::tempdir().unwrap();
        for learner in learners {
            for step in ["step-000010", "step-000009", "step-000100", "step-000200.tmp"] {
                let folder = run.path().join("checkpoints").join(learner).join(step);
                std::fs::create_dir_all(&folder).unwrap();
                std::fs::write(folder.join(MODEL), "{}").unwrap();
            }
        }
        std::fs::write(run.path().join(CONFIG), "").unwrap();
        run
    }

    fn find(path: &Path) -> Result<Target, AnswerError> {
        Target::find(&path.display().to_string(), "nowhere".as_ref())
    }

    #[test]
    fn a_run_stands_for_its_newest_checkpoint() {
        for learners in [&["only"][..], &["learner", "sft"]] {
            let run = run_with(learners);
            let target = find(run.path()).unwrap();
            let folder = run.path().join("checkpoints").join(learners[0]).join("step-000100");
            assert_eq!((target.checkpoint, target.version), (folder, "step-000100".to_owned()));
            assert_eq!(target.config, Some(run.path().join(CONFIG)));
            let choice = target.choice.unwrap();
            assert!(choice.contains("step-000100, the newest checkpoint"), "{choice}");
        }
        let error = find(run_with(&["a", "b"]).path()).unwrap_err().to_string();
        assert!(error.contains("[\"a\", \"b\"]"), "{error}");
    }

    /// `base` is what the run started from, `learner` whose policy it is.
    fn keep_best(run: &Path, learner: &str, step: u64, base: f64) {
        let folder = format!("best/{learner}/step-{step:06}");
        std::fs::create_dir_all(run.join(&folder)).unwrap();
        let best = serde_json::json!({"rft": {
            "learner": learner, "step": step, "measure": "miou", "value": 0.61, "base": base,
            "chosen_on": "evaluation.test", "checkpoint": folder,
        }});
        std::fs::write(run.join(BEST), best.to_string()).unwrap();
    }

    #[test]
    fn a_run_that_kept_its_best_policy_stands_for_that() {
        let run = run_with(&["learner", "sft"]);
        keep_best(run.path(), "learner", 40, 0.5);
        let target = find(run.path()).unwrap();
        let folder = run.path().join("best/learner/step-000040");
        assert_eq!((target.checkpoint, target.version), (folder, "step-000040".to_owned()));
        let choice = target.choice.unwrap();
        assert_eq!(
            choice,
            "step 40, the best of the run: miou 0.610 on evaluation.test, 0.500 at its start"
        );
        // A run that got worse says so, and what another learner did best is not the learner's.
        keep_best(run.path(), "learner", 40, 0.7);
        assert!(find(run.path()).unwrap().choice.unwrap().contains("no better than the 0.700"));
        keep_best(run.path(), "sft", 40, 0.5);
        assert_eq!(find(run.path()).unwrap().version, "step-000100");
        // Only the best is left of some runs, and what is gone counts no more.
        let bare = tempfile::tempdir().unwrap();
        keep_best(bare.path(), "learner", 3, 0.5);
        assert_eq!(find(bare.path()).unwrap().version, "step-000003");
        std::fs::remove_dir_all(bare.path().join("best")).unwrap();
        let error = find(bare.path()).unwrap_err().to_string();
        assert!(error.contains("no checkpoint was saved in this run"), "{error}");
        std::fs::write(run.path().join(BEST), "torn").unwrap();
        assert!(find(run.path()).unwrap_err().to_string().contains(BEST));
    }

    #[test]
    fn a_checkpoint_of_a_run_knows_the_configuration_of_the_run() {
        let run = run_with(&["learner"]);
        let target = find(&run.path().join("checkpoints/learner/step-000009")).unwrap();
        assert_eq!(target.version, "step-000009");
        assert_eq!(target.config, Some(run.path().canonicalize().unwrap().join(CONFIG)));
    }

    #[cfg(unix)]
    #[test]
    fn the_promoted_policy_is_the_one_that_the_link_names() {
        let served = tempfile::tempdir().unwrap();
        let find = || Target::find(PROMOTED, served.path());
        assert!(find().unwrap_err().to_string().contains("vrft promote"));
        std::os::unix::fs::symlink("policy-0002", served.path().join(CURRENT)).unwrap();
        assert!(find().unwrap_err().to_string().contains("policy-0002"));
        std::fs::create_dir(served.path().join("policy-0002")).unwrap();
        let target = find().unwrap();
        assert_eq!(target.version, "policy-0002");
        assert_eq!((target.checkpoint, target.config), (served.path().join("policy-0002"), None));
    }

    #[test]
    fn a_folder_without_a_checkpoint_is_refused_with_what_is_missing() {
        let empty = tempfile::tempdir().unwrap();
        let error = find(empty.path()).unwrap_err().to_string();
        for word in ["config.json", "adapter_config.json", "config.toml", "checkpoints"] {
            assert!(error.contains(word), "{error}");
        }
        let file = empty.path().join("weights.bin");
        std::fs::write(&file, "").unwrap();
        assert!(find(&file).unwrap_err().to_string().contains("it is no folder"));
    }

    #[test]
    fn an_adapter_that_was_promoted_is_no_run() {
        let folder = tempfile::tempdir().unwrap();
        for name in [ADAPTER, CONFIG] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        assert_eq!(find(folder.path()).unwrap().checkpoint, folder.path());
    }

    #[test]
    fn a_name_that_means_nothing_is_refused_with_what_would_be_accepted() {
        let error = find("no/such/checkpoint".as_ref()).unwrap_err().to_string();
        assert!(error.contains("no/such/checkpoint") && error.contains("promoted"), "{error}");
    }
}
