//! What a run has to offer: its policies, what they are worth, where they are.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use dora_message::config::InputMapping;
use eyre::{WrapErr, bail, ensure, eyre};
use serde_json::Value;
use vrft_node::nodes;

use super::Measures;
use crate::origin::Origin;

/// Which of the policies of a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// The best one, which the evaluator has kept.
    Best,
    /// The newest that was evaluated.
    Last,
    /// The one after so many steps.
    Step(u64),
}

impl FromStr for Which {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "best" => Ok(Self::Best),
            "last" => Ok(Self::Last),
            number => number
                .parse()
                .map(Self::Step)
                .map_err(|_no_number| "expected best, last or a number of steps".to_owned()),
        }
    }
}

/// A policy of a run.
pub(crate) struct Policy {
    pub(crate) version: u64,
    pub(crate) folder: PathBuf,
    /// What it is worth on the held-out data of each task.
    pub(crate) measures: Measures,
    /// How it was chosen among those of its label.
    pub(crate) choice: String,
}

/// The evaluations under a label: by version, and the learner that the evaluator names.
pub(crate) struct Evaluated {
    versions: BTreeMap<u64, Measures>,
    learner: Option<String>,
    /// Labels of the run that stand for policies which it has trained.
    trained: BTreeSet<String>,
}

impl Evaluated {
    /// Whether there is a version that took a step: what a run starts from and what needs no policy are measured beside.
    fn is_trained(&self) -> bool {
        self.newest().is_some_and(|(version, _)| version > 0)
    }

    /// What can be promoted instead.
    fn promotable(&self) -> String {
        let labels: Vec<&str> = self.trained.iter().map(String::as_str).collect();
        match labels[..] {
            [] => "none that was trained is evaluated yet".to_owned(),
            _ => format!("--label takes {}", labels.join(", ")),
        }
    }

    /// The newest version with its measures.
    pub(crate) fn newest(&self) -> Option<(u64, &Measures)> {
        self.versions.last_key_value().map(|(version, measures)| (*version, measures))
    }
}

/// Finds the policy of a run.
///
/// # Errors
/// A run without evaluations of it, or that has not kept it.
pub(crate) fn policy(run: &Path, label: &str, which: Which) -> eyre::Result<Policy> {
    let evaluated = evaluations(run, label)?;
    ensure!(
        evaluated.is_trained(),
        "{label:?} is no policy that {run:?} has trained, so there is nothing to promote: {}",
        evaluated.promotable()
    );
    let best = vrft_report::best_policies(run)?.into_iter().find(|best| best.label == label);
    let newest = evaluated.newest().map_or(0, |(version, _)| version);
    let (version, choice) = match (which, &best) {
        (Which::Step(step), _) => (step, "as asked for".to_owned()),
        (Which::Best, Some(best)) if best.is_selected_on_test() => {
            (best.step, "the best, selected on test".to_owned())
        }
        (Which::Best, Some(best)) => {
            (best.step, format!("the best, selected on {}", best.chosen_on))
        }
        (Which::Last | Which::Best, _) => (newest, "the newest".to_owned()),
    };
    let measures = evaluated.versions.get(&version).cloned().ok_or_else(|| {
        let there: Vec<&u64> = evaluated.versions.keys().collect();
        eyre!("{run:?} has no evaluation of {label:?} at step {version}; there are {there:?}")
    })?;
    let kept = best.filter(|best| best.step == version).map(|best| run.join(best.checkpoint));
    let folder = match kept.filter(|folder| folder.is_dir()) {
        Some(folder) => folder,
        None => checkpoint(run, label, version, evaluated.learner)?,
    };
    Ok(Policy { version, folder, measures, choice })
}

/// Reads the evaluations of a label; of several tasks the evaluator writes `label@task`.
///
/// # Errors
/// No file, or no evaluation of this label in it.
pub(crate) fn evaluations(run: &Path, label: &str) -> eyre::Result<Evaluated> {
    let path = run.join("evaluations.jsonl");
    ensure!(
        path.exists(),
        "{run:?} is no run folder, or nothing of it was evaluated yet: it has no evaluations.jsonl"
    );
    let text = fs::read_to_string(&path).wrap_err_with(|| format!("{path:?}"))?;
    let mut evaluated =
        Evaluated { versions: BTreeMap::new(), learner: None, trained: BTreeSet::new() };
    let mut labels = BTreeSet::new();
    for line in text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        let named = line["label"].as_str().unwrap_or_default();
        let (of, task) = named.split_once('@').unwrap_or((named, ""));
        let version = line["policy_version"].as_u64().unwrap_or(0);
        labels.insert(of.to_owned());
        if version > 0 {
            evaluated.trained.insert(of.to_owned());
        }
        if of != label {
            continue;
        }
        evaluated.learner = line["learner"].as_str().map(str::to_owned).or(evaluated.learner);
        let of_task = serde_json::from_value(line["metrics"].clone())?;
        evaluated.versions.entry(version).or_default().insert(task.to_owned(), of_task);
    }
    ensure!(
        !evaluated.versions.is_empty(),
        "{path:?} has no evaluation of {label:?}; there are {labels:?}"
    );
    Ok(evaluated)
}

/// The checkpoint of a version that belongs to a label: of the learner that the evaluation names, else of the one which the
/// graph of the run connects to the evaluator by that name, else of the only learner there is.
fn checkpoint(
    run: &Path,
    label: &str,
    version: u64,
    learner: Option<String>,
) -> eyre::Result<PathBuf> {
    let folder = run.join("checkpoints");
    let learner = learner.map_or_else(|| learner_of(run, label), |learner| Ok(Some(learner)))?;
    let learner = match learner {
        Some(learner) => learner,
        None => {
            let entries = fs::read_dir(&folder).wrap_err_with(|| format!("{folder:?}"))?;
            let mut learners = entries
                .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
                .collect::<Vec<String>>();
            learners.sort();
            match &learners[..] {
                [only] => only.clone(),
                _ => bail!(
                    "neither the evaluations of {run:?} nor its graph say which of {learners:?} the label {label:?} is"
                ),
            }
        }
    };
    let folder = folder.join(learner).join(format!("step-{version:06}"));
    ensure!(
        folder.is_dir(),
        "the run kept no checkpoint of {label:?} at step {version}: there is no {folder:?}; learner.keep_checkpoints \
         says how many are kept besides the best"
    );
    Ok(folder)
}

/// The node whose checkpoints arrive at the evaluator under this name; `None` if the run does not hold its graph.
fn learner_of(run: &Path, label: &str) -> eyre::Result<Option<String>> {
    let Some((_, graph)) = Origin::read(run)? else { return Ok(None) };
    let inputs = graph.nodes.iter().flat_map(|node| {
        let takes = |name: &str| name == label && nodes::takes_checkpoints(node, name);
        node.inputs.iter().filter(move |(name, _)| takes(name.as_ref()))
    });
    let learner = inputs.into_iter().find_map(|(_, input)| match &input.mapping {
        InputMapping::User(source) => Some(source.source.to_string()),
        _ => None,
    });
    Ok(learner)
}
