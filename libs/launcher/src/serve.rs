//! The policy that is in use: promotion of a run's result, unless it does worse, and rollback.
//!
//! A folder holds numbered policies, `current`, a link to one of them, and `history.jsonl`. Whoever uses the policy
//! opens `current`; it is switched in one step.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use dora_message::config::InputMapping;
use eyre::{WrapErr, bail, ensure, eyre};
use serde_json::{Value, json};

use crate::cli::PromoteOptions;
use crate::config::Config;
use crate::origin::Origin;
use crate::print::say;

/// What a policy may lose on held-out data and still be promoted: half a point.
const TOLERANCE: f64 = 0.005;

/// The measures that decide, the first that a task has.
const MEASURES: [&str; 4] = ["miou", "accuracy", "overlap", "reward"];

const CURRENT: &str = "current";

/// The measures of a policy by task; the task of `evaluation.test` has no name.
pub(crate) type Measures = BTreeMap<String, BTreeMap<String, f64>>;

/// Puts the policy of a run into use that the evaluator calls by this label, unless it does worse than the policy in use
/// on the held-out data of any of the run's tasks. Before there is one in use it is compared with what the run started
/// from. `judge` measures a checkpoint on the held-out data of a run.
///
/// # Errors
/// A run without evaluations, a checkpoint that is damaged or gone, a policy that does worse, a folder that cannot be
/// written.
pub(crate) fn promote(
    options: &PromoteOptions,
    judge: &dyn Fn(&Path, &Path) -> eyre::Result<Measures>,
) -> eyre::Result<String> {
    let PromoteOptions { run, label, served, no_verify } = options;
    let Evaluated { version, learner, measures: tuned } = evaluations(run, label)?;
    let checkpoint = checkpoint(run, label, version, learner)?;
    if !no_verify {
        vrft_learner::verify_checkpoint(&checkpoint)?;
    }
    let current = served.join(CURRENT);
    let (opponent, before) = if current.exists() {
        let name = fs::read_link(&current).wrap_err_with(|| format!("{current:?}"))?;
        (name.display().to_string(), judge(run, &current)?)
    } else {
        ("the base of the run".to_owned(), evaluations(run, "base")?.measures)
    };
    let compared = compare(&before, &tuned);
    ensure!(!compared.is_empty(), "{run:?} has none of the measures {MEASURES:?} for {label:?}");
    let worse: Vec<String> = compared
        .iter()
        .filter(|one| one.after < one.before - TOLERANCE)
        .map(ToString::to_string)
        .collect();
    fs::create_dir_all(served).wrap_err_with(|| format!("{served:?}"))?;
    note(
        served,
        &json!({
            "event": if worse.is_empty() { "promote" } else { "discard" }, "run": run.display().to_string(),
            "label": label, "policy_version": version, "compared_with": opponent,
            "measures": compared.iter().map(Compared::to_json).collect::<Vec<_>>(),
        }),
    )?;
    ensure!(
        worse.is_empty(),
        "not promoted: on the same held-out data as {opponent}, {} (tolerance {TOLERANCE})",
        worse.join("; ")
    );
    let name = format!("policy-{:04}", numbers(served)?.last().map_or(1, |last| last + 1));
    copy(&checkpoint, &served.join(&name))?;
    switch(served, &name)?;
    let compared: Vec<String> = compared.iter().map(ToString::to_string).collect();
    Ok(format!("{name}: {label} of step {version}, beside {opponent}: {}", compared.join("; ")))
}

/// Measures a checkpoint on the held-out data of a run, as its evaluator does.
pub(crate) fn judge(run: &Path, checkpoint: &Path) -> eyre::Result<Measures> {
    let config = Config::load(&run.join("config.toml"), &[])?;
    let mut tasks = vec![(String::new(), config.judge())];
    for source in &config.data.sources {
        let Some(test) = &source.test else { continue };
        let mut of_task = config.judge();
        of_task.reward = config.rewards.of(&source.task).clone();
        of_task.evaluation.test.clone_from(test);
        tasks.push((source.task.clone(), of_task));
    }
    let mut measures = Measures::new();
    for (task, mut config) in tasks {
        say!("Measuring {} on {} …", checkpoint.display(), config.evaluation.test.display());
        config.policy.path = checkpoint.to_owned();
        let judgement = vrft_evaluate::Judge::load(&config)?.evaluate(checkpoint)?;
        measures.insert(task, judgement.evaluation.metrics);
    }
    Ok(measures)
}

/// The deciding measure of one task.
struct Compared {
    task: String,
    measure: &'static str,
    before: f64,
    after: f64,
}

impl Compared {
    fn to_json(&self) -> Value {
        json!({"task": self.task, "measure": self.measure, "before": self.before, "after": self.after})
    }
}

impl std::fmt::Display for Compared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { task, measure, before, after } = self;
        if !task.is_empty() {
            write!(f, "{task}: ")?;
        }
        write!(f, "{measure} {after:.4}, {before:.4} before")
    }
}

/// Every task that both were measured on, by the first measure that both have.
fn compare(before: &Measures, after: &Measures) -> Vec<Compared> {
    let of_task = |(task, after): (&String, &BTreeMap<String, f64>)| {
        let before = before.get(task)?;
        let measure = MEASURES
            .into_iter()
            .find(|name| before.contains_key(*name) && after.contains_key(*name))?;
        Some(Compared {
            task: task.clone(),
            measure,
            before: before[measure],
            after: after[measure],
        })
    };
    after.iter().filter_map(of_task).collect()
}

/// Goes back to the policy before the current one.
///
/// # Errors
/// No policy before it.
pub(crate) fn rollback(served: &Path) -> eyre::Result<String> {
    let link = served.join(CURRENT);
    let current = fs::read_link(&link).wrap_err_with(|| format!("{link:?}"))?;
    let current = number(&current).ok_or_else(|| eyre!("{link:?} names no policy"))?;
    let earlier = numbers(served)?.into_iter().rfind(|number| *number < current);
    let earlier = earlier.ok_or_else(|| eyre!("there is no policy before policy-{current:04}"))?;
    let name = format!("policy-{earlier:04}");
    switch(served, &name)?;
    note(
        served,
        &json!({"event": "rollback", "from": format!("policy-{current:04}"), "to": name}),
    )?;
    Ok(format!("{name} is in use again"))
}

/// The newest evaluations of a label.
struct Evaluated {
    version: u64,
    /// The learner whose policy it is.
    learner: Option<String>,
    /// The evaluator writes `label@task` where there are several tasks.
    measures: Measures,
}

fn evaluations(run: &Path, label: &str) -> eyre::Result<Evaluated> {
    let path = run.join("evaluations.jsonl");
    let text = fs::read_to_string(&path).wrap_err_with(|| format!("{path:?}"))?;
    let mut newest: Option<Evaluated> = None;
    let mut labels = BTreeSet::new();
    for line in text.lines().rev().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        let named = line["label"].as_str().unwrap_or_default();
        let (of, task) = named.split_once('@').unwrap_or((named, ""));
        labels.insert(of.to_owned());
        let version = line["policy_version"].as_u64().unwrap_or(0);
        if of != label || newest.as_ref().is_some_and(|newest| newest.version != version) {
            continue;
        }
        let learner = line["learner"].as_str().map(str::to_owned);
        let start = || Evaluated { version, learner, measures: Measures::new() };
        let of_task = serde_json::from_value(line["metrics"].clone())?;
        newest.get_or_insert_with(start).measures.entry(task.to_owned()).or_insert(of_task);
    }
    newest.ok_or_else(|| eyre!("{path:?} has no evaluation of {label:?}; there are {labels:?}"))
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
                    "{run:?} does not hold its graph, so it is not known which of {learners:?} the label {label:?} is"
                ),
            }
        }
    };
    let folder = folder.join(learner).join(format!("step-{version:06}"));
    ensure!(folder.is_dir(), "the run kept no checkpoint of version {version}: {folder:?}");
    Ok(folder)
}

/// The node whose checkpoints arrive at the evaluator under this name; `None` if the run does not hold its graph.
fn learner_of(run: &Path, label: &str) -> eyre::Result<Option<String>> {
    let Some((_, graph)) = Origin::read(run)? else { return Ok(None) };
    let inputs = graph.nodes.iter().flat_map(|node| {
        let is_evaluator = node.path.as_deref().is_some_and(|path| path.contains("evaluator"));
        node.inputs.iter().filter(move |_| is_evaluator)
    });
    for (name, input) in inputs {
        if let InputMapping::User(source) = &input.mapping
            && AsRef::<str>::as_ref(name) == label
        {
            return Ok(Some(source.source.to_string()));
        }
    }
    Ok(None)
}

fn numbers(served: &Path) -> eyre::Result<Vec<u32>> {
    let entries = fs::read_dir(served).wrap_err_with(|| format!("{served:?}"))?;
    let mut numbers: Vec<u32> = entries.filter_map(|entry| number(&entry.ok()?.path())).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

fn number(policy: &Path) -> Option<u32> {
    policy.file_name()?.to_str()?.strip_prefix("policy-")?.parse().ok()
}

/// Under another name first, so that a copy that broke off is never taken for a policy.
fn copy(from: &Path, to: &Path) -> eyre::Result<()> {
    let partial = to.with_extension("partial");
    fs::create_dir_all(&partial).wrap_err_with(|| format!("{partial:?}"))?;
    for entry in fs::read_dir(from).wrap_err_with(|| format!("{from:?}"))? {
        let file = entry?.path();
        if file.is_file() {
            let name = file.file_name().unwrap_or_default();
            fs::copy(&file, partial.join(name)).wrap_err_with(|| format!("{file:?}"))?;
        }
    }
    fs::rename(&partial, to).wrap_err_with(|| format!("{to:?}"))
}

#[cfg(unix)]
fn switch(served: &Path, name: &str) -> eyre::Result<()> {
    let next = served.join("current.next");
    if fs::symlink_metadata(&next).is_ok() {
        fs::remove_file(&next)?;
    }
    std::os::unix::fs::symlink(name, &next).wrap_err_with(|| format!("{next:?}"))?;
    fs::rename(&next, served.join(CURRENT)).wrap_err_with(|| format!("{served:?}"))
}

#[cfg(not(unix))]
fn switch(_served: &Path, _name: &str) -> eyre::Result<()> {
    eyre::bail!("policies are switched by a symbolic link, which needs a Unix")
}

fn note(served: &Path, event: &Value) -> eyre::Result<()> {
    let path = served.join("history.jsonl");
    let file = fs::OpenOptions::new().create(true).append(true).open(&path);
    writeln!(file.wrap_err_with(|| format!("{path:?}"))?, "{event}")?;
    Ok(())
}

#[cfg(test)]
mod tests;
