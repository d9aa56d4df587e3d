//! Which checkpoint is meant: a folder, a model of the hub, the newest of a run, or what was promoted.

use std::path::{Path, PathBuf};

use crate::AnswerError;

/// Name of the link to the policy in use, within the folder of the promoted ones.
pub const CURRENT: &str = "current";

/// What stands for the promoted policy where a checkpoint is named.
const PROMOTED: &str = "promoted";

/// Name of the configuration in a run folder and beside a promoted policy.
const CONFIG: &str = "config.toml";

/// The learner of a run whose policy is meant, where there are several.
const LEARNER: &str = "learner";

/// A checkpoint and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Folder of the checkpoint.
    pub checkpoint: PathBuf,
    /// What answers call it.
    pub version: String,
    /// The configuration of the run that made it, if that is there.
    pub config: Option<PathBuf>,
}

impl Target {
    /// Finds what a name means: `promoted`, the policy in use in the folder `served`; a run folder, its newest
    /// checkpoint; a checkpoint folder; `owner/name`, a model of the Hugging Face hub.
    ///
    /// # Errors
    /// Nothing of that name, with what was looked for.
    pub fn find(name: &str, served: &Path) -> Result<Self, AnswerError> {
        if name == PROMOTED {
            let why = || {
                let served = served.display();
                format!("no policy was promoted to {served} yet: `vrft promote RUN` does that")
            };
            return promoted(served)?.ok_or_else(|| refused(name, why()));
        }
        let path = Path::new(name);
        if path.join("checkpoints").is_dir() {
            return newest_of_run(path);
        }
        let checkpoint = vrft_checkpoint::checkpoint_dir(path)?;
        if !checkpoint.is_dir() {
            let why = "expected a checkpoint folder, a run folder, `promoted`, or a model of the hub as owner/name";
            return Err(refused(name, why.to_owned()));
        }
        let version = file_name(&checkpoint).unwrap_or_else(|| name.to_owned());
        let config = config_of(&checkpoint);
        Ok(Self { checkpoint, version, config })
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
    Ok(Some(Target { checkpoint, version: name.display().to_string(), config }))
}

fn newest_of_run(run: &Path) -> Result<Target, AnswerError> {
    let name = run.display().to_string();
    let folder = run.join("checkpoints");
    let learners = folders(&folder)?;
    let learner = match &learners[..] {
        [only] => only,
        _ => learners.iter().find(|found| found.as_str() == LEARNER).ok_or_else(|| {
            refused(&name, format!("it has checkpoints of {learners:?}: name the folder of one"))
        })?,
    };
    let steps = folders(&folder.join(learner))?;
    let newest = steps.iter().rfind(|step| step.starts_with("step-"));
    let newest = newest.ok_or_else(|| {
        refused(&name, format!("there is no checkpoint of {learner:?} in it yet"))
    })?;
    let config = Some(run.join(CONFIG)).filter(|path| path.is_file());
    let checkpoint = folder.join(learner).join(newest);
    Ok(Target { checkpoint, version: newest.clone(), config })
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
            for step in ["step-000010", "step-000009", "step-000100"] {
                let folder = run.path().join("checkpoints").join(learner).join(step);
                std::fs::create_dir_all(folder).unwrap();
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
        }
        let error = find(run_with(&["a", "b"]).path()).unwrap_err().to_string();
        assert!(error.contains("[\"a\", \"b\"]"), "{error}");
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
    fn a_name_that_means_nothing_is_refused_with_what_would_be_accepted() {
        let error = find("no/such/checkpoint".as_ref()).unwrap_err().to_string();
        assert!(error.contains("no/such/checkpoint") && error.contains("promoted"), "{error}");
    }
}
