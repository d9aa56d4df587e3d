//! The policy that is in use: promotion of a run's result, unless it does worse, and rollback.
//!
//! A folder holds numbered policies, `current`, a link to one of them, and `history.jsonl`. Whoever uses the policy
//! opens `current`; it is switched in one step.

pub(crate) mod result;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use eyre::{WrapErr, bail, ensure, eyre};
use serde_json::{Value, json};
use vrft_checkpoint::{Transfer, transfer};
use vrft_evaluate::LEADING_MEASURES;
use vrft_prompts::HELD_OUT_FILE;

use crate::cli::PromoteOptions;
use crate::config::Config;
use crate::fingerprint;
use crate::origin::Origin;
use crate::print::say;
use crate::serve::result::Policy;

/// What a policy may lose on held-out data and still be promoted: half a point.
const TOLERANCE: f64 = 0.005;

const CURRENT: &str = "current";

/// A line for every promotion, refusal and rollback.
const HISTORY: &str = "history.jsonl";

/// The configuration of a run, and of a policy in use that of the run which made it.
const CONFIG: &str = "config.toml";

/// The report of a run, and beside a policy in use that of the run which made it.
const REPORT: &str = "report.html";

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
    check: &dyn Fn(&Path) -> eyre::Result<()>,
    judge: &dyn Fn(&Path, &Path) -> eyre::Result<Measures>,
) -> eyre::Result<String> {
    let PromoteOptions { run, label, step, served, no_verify } = options;
    let chosen = result::policy(run, label, *step)?;
    let Policy { version, folder, measures: tuned, choice } = &chosen;
    ensure!(
        *version > 0,
        "{label:?} at step 0 is what the run started from: there is nothing to promote"
    );
    if !no_verify {
        vrft_checkpoint::verify(folder, None)?;
    }
    // Whoever skips the digests still promotes a policy that can be loaded.
    check(folder)?;
    let current = served.join(CURRENT);
    let (opponent, before) = if current.exists() {
        let name = fs::read_link(&current).wrap_err_with(|| format!("{current:?}"))?;
        if !no_verify {
            vrft_checkpoint::verify(&current, None).wrap_err("the policy in use")?;
        }
        (name.display().to_string(), judge(run, &current)?)
    } else {
        let base = result::evaluations(run, "base")?;
        let measures = base.newest().map(|(_, measures)| measures.clone());
        ("the base of the run".to_owned(), measures.unwrap_or_default())
    };
    let compared = compare(&before, tuned)
        .wrap_err_with(|| format!("{label:?} at step {version} beside {opponent}"))?;
    let worse: Vec<String> = compared
        .iter()
        .filter(|one| one.after < one.before - TOLERANCE)
        .map(ToString::to_string)
        .collect();
    fs::create_dir_all(served).wrap_err_with(|| format!("{served:?}"))?;
    let name = format!("policy-{:04}", numbers(served)?.last().map_or(1, |last| last + 1));
    let is_promoted = worse.is_empty();
    let event = json!({
        "event": if is_promoted { "promote" } else { "discard" }, "run": run.display().to_string(),
        "label": label, "policy_version": version, "choice": choice, "compared_with": opponent,
        "policy": is_promoted.then_some(&name),
        "measures": compared.iter().map(Compared::to_json).collect::<Vec<_>>(),
    });
    if !is_promoted {
        note(served, &event)?;
        bail!(
            "not promoted: on the same held-out data as {opponent}, {} (tolerance {TOLERANCE})",
            worse.join("; ")
        );
    }
    transfer(folder, &served.join(&name), Transfer::Copy)?;
    // What whoever asks the policy should know of it: the task and how pictures are scaled.
    // And for who looks at it in a browser, how it was made.
    for file in [CONFIG, REPORT] {
        let from = run.join(file);
        if from.exists() {
            let copied = fs::copy(&from, served.join(&name).join(file));
            copied.wrap_err_with(|| format!("{from:?}"))?;
        }
    }
    switch(served, &name)?;
    // Of what breaks off before this, nothing is said that did not happen.
    note(served, &event)?;
    let compared: Vec<String> = compared.iter().map(ToString::to_string).collect();
    let compared = compared.join("; ");
    Ok(format!("{name}: {label} of step {version} ({choice}), beside {opponent}: {compared}"))
}

/// Opens a checkpoint and compares its tensors with the model that it declares.
pub(crate) fn check(checkpoint: &Path) -> eyre::Result<()> {
    Ok(vrft_model::check_checkpoint(checkpoint, None)?)
}

/// Measures a checkpoint on the held-out data of a run, as its evaluator does.
pub(crate) fn judge(run: &Path, checkpoint: &Path) -> eyre::Result<Measures> {
    let mut config = Config::load(&run.join(CONFIG), &[])?;
    // The policy in use says itself what it was trained beside.
    config.policy.base = None;
    if config.stream.is_some() {
        let rows = vrft_prompts::held_out(run).map_err(|why| eyre!(why))?;
        let rows = rows.ok_or_else(|| {
            eyre!("{run:?} has set no frames aside ({HELD_OUT_FILE}) to compare with the policy in use on")
        })?;
        say!("Measuring {} on the frames that the run has set aside …", checkpoint.display());
        config.policy.path = checkpoint.to_owned();
        let judgment = vrft_evaluate::Judge::of(&config.judge(), rows)?.evaluate(checkpoint)?;
        return Ok(Measures::from([(String::new(), judgment.evaluation.metrics)]));
    }
    check_unchanged(run, &config)?;
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
        let judgment = vrft_evaluate::Judge::load(&config)?.evaluate(checkpoint)?;
        measures.insert(task, judgment.evaluation.metrics);
    }
    Ok(measures)
}

/// Checks that the held-out data is still what the run was judged on.
fn check_unchanged(run: &Path, config: &Config) -> eyre::Result<()> {
    let Some((origin, _)) = Origin::read(run)? else { return Ok(()) };
    let tests = config.data.sources.iter().filter_map(|source| source.test.clone());
    let tests: Vec<PathBuf> = tests.chain([config.evaluation.test.clone()]).collect();
    for (path, now) in fingerprint::of_data(&tests)? {
        let is_same = origin.made_of.data.get(&path).is_none_or(|before| *before == now);
        ensure!(
            is_same,
            "{path:?} is not what the run was judged on any more, so the policy in use cannot be compared with it"
        );
    }
    Ok(())
}

/// The deciding measure of one task.
#[derive(Debug)]
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

/// Every task, by the first measure that both have.
///
/// # Errors
/// A task that one of them was not measured on, or not by the same measure.
fn compare(before: &Measures, after: &Measures) -> eyre::Result<Vec<Compared>> {
    let none = BTreeMap::new();
    let tasks: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let of_task = |task: &String| {
        let of = |measures: &'_ Measures| measures.get(task).unwrap_or(&none).clone();
        let (before, after) = (of(before), of(after));
        let measure = LEADING_MEASURES
            .into_iter()
            .find(|name| before.contains_key(*name) && after.contains_key(*name))
            .ok_or_else(|| {
                let task = if task.is_empty() { "the run's own task" } else { task };
                eyre!(
                    "{task}: both should have one of {LEADING_MEASURES:?} on the same held-out data"
                )
            })?;
        let (before, after) = (before[measure], after[measure]);
        Ok(Compared { task: task.clone(), measure, before, after })
    };
    let compared: Vec<Compared> = tasks.into_iter().map(of_task).collect::<eyre::Result<_>>()?;
    ensure!(!compared.is_empty(), "nothing was measured");
    Ok(compared)
}

/// Goes back to the policy before the current one.
///
/// # Errors
/// No policy before it.
pub(crate) fn rollback(served: &Path) -> eyre::Result<String> {
    let link = served.join(CURRENT);
    ensure!(
        fs::symlink_metadata(&link).is_ok(),
        "no policy is in use in {served:?}: `vrft promote RUN` puts one into use"
    );
    let current = fs::read_link(&link).wrap_err_with(|| format!("{link:?}"))?;
    let current = number(&current).ok_or_else(|| eyre!("{link:?} names no policy"))?;
    let earlier = before(served, current)?;
    let earlier = earlier.ok_or_else(|| eyre!("there is no policy before policy-{current:04}"))?;
    let name = format!("policy-{earlier:04}");
    switch(served, &name)?;
    note(
        served,
        &json!({"event": "rollback", "from": format!("policy-{current:04}"), "to": name}),
    )?;
    Ok(format!("{name} is in use again"))
}

/// The policy that was in use before the current one was promoted: not one that was taken back meanwhile, nor one of a
/// promotion that broke off. Without a history that knows the current one, the one of the next lower number.
fn before(served: &Path, current: u32) -> eyre::Result<Option<u32>> {
    let path = served.join(HISTORY);
    let history = if path.exists() { fs::read_to_string(&path)? } else { String::new() };
    let mut in_use: Vec<u32> = Vec::new();
    for event in history.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        let named = |key: &str| event[key].as_str().and_then(|name| number(Path::new(name)));
        match event["event"].as_str() {
            Some("promote") => in_use.extend(named("policy")),
            Some("rollback") => {
                in_use.pop();
            }
            _ => {}
        }
    }
    // An older program noted promotions before they were done, and of one that broke off there is a note alone.
    let is_there = |number: &u32| served.join(format!("policy-{number:04}")).exists();
    let promoted = in_use.iter().rposition(|number| *number == current);
    if let Some(promoted) = promoted {
        return Ok(in_use[..promoted].iter().copied().rfind(|n| *n != current && is_there(n)));
    }
    Ok(numbers(served)?.into_iter().rfind(|number| *number < current))
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
    bail!("policies are switched by a symbolic link, which needs a Unix")
}

fn note(served: &Path, event: &Value) -> eyre::Result<()> {
    let path = served.join(HISTORY);
    let file = fs::OpenOptions::new().create(true).append(true).open(&path);
    writeln!(file.wrap_err_with(|| format!("{path:?}"))?, "{event}")?;
    Ok(())
}

#[cfg(test)]
mod tests;
