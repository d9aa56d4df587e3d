//! Which policy is in use: promotion of a run's result, if it is no worse, and the way back.
//!
//! A folder holds numbered policies, `current`, a link to one of them, and `history.jsonl`. Whoever uses the policy
//! opens `current`; it is switched in one step.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use eyre::{WrapErr, ensure, eyre};
use serde_json::{Value, json};

/// What a policy may lose on held-out data and still be promoted: half a point.
const TOLERANCE: f64 = 0.005;

/// The measures that decide, the first that a run has.
const MEASURES: [&str; 2] = ["miou", "accuracy"];

const CURRENT: &str = "current";

/// Puts the newest evaluated policy of a run into use, unless it does worse than what the run started from.
///
/// # Errors
/// A run without two evaluations, a policy that does worse, a folder that cannot be written.
pub(crate) fn promote(run: &Path, label: &str, served: &Path) -> eyre::Result<String> {
    let (base, tuned) = (evaluation(run, "base")?, evaluation(run, label)?);
    let measure = MEASURES
        .into_iter()
        .find(|name| tuned["metrics"][name].is_number() && base["metrics"][name].is_number())
        .ok_or_else(|| eyre!("{run:?} has none of the measures {MEASURES:?}"))?;
    let value = |of: &Value| of["metrics"][measure].as_f64().unwrap_or(f64::NAN);
    let (before, after) = (value(&base), value(&tuned));
    let is_fine = after >= before - TOLERANCE;
    fs::create_dir_all(served).wrap_err_with(|| format!("{served:?}"))?;
    note(
        served,
        &json!({
            "event": if is_fine { "promote" } else { "discard" }, "run": run.display().to_string(),
            "policy_version": tuned["policy_version"], "measure": measure, "before": before, "after": after,
        }),
    )?;
    ensure!(
        is_fine,
        "not promoted: {measure} {after:.4} on held-out data, {before:.4} before (tolerance {TOLERANCE})"
    );
    let checkpoint = checkpoint(run, &tuned)?;
    let name = format!("policy-{:04}", numbers(served)?.last().map_or(1, |last| last + 1));
    copy(&checkpoint, &served.join(&name))?;
    switch(served, &name)?;
    Ok(format!("{name}: {measure} {after:.4}, {before:.4} before"))
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

/// The newest evaluation under a label.
fn evaluation(run: &Path, label: &str) -> eyre::Result<Value> {
    let path = run.join("evaluations.jsonl");
    let text = fs::read_to_string(&path).wrap_err_with(|| format!("{path:?}"))?;
    let mut lines = text.lines().rev().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let newest = lines.find(|line| line["label"] == label);
    newest.ok_or_else(|| eyre!("{path:?} has no evaluation of {label:?}"))
}

/// The checkpoint that an evaluation is about, saved by the learner that the evaluation names.
fn checkpoint(run: &Path, evaluation: &Value) -> eyre::Result<PathBuf> {
    let version = evaluation["policy_version"].as_u64().unwrap_or(0);
    let learner = evaluation["learner"].as_str();
    let learner = learner.ok_or_else(|| {
        let label = &evaluation["label"];
        eyre!("the evaluation of {label} names no learner, so it is unknown which checkpoint it is about")
    })?;
    let folder = run.join("checkpoints").join(learner).join(format!("step-{version:06}"));
    ensure!(folder.is_dir(), "the run kept no checkpoint of version {version}: {folder:?}");
    Ok(folder)
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
mod tests {
    use super::*;

    /// A run that ended with this mean IoU, from 0.4.
    fn run(folder: &Path, name: &str, miou: f64) -> PathBuf {
        let run = folder.join(name);
        for (learner, weights) in [("policy", name), ("shown", "other weights")] {
            let checkpoint = run.join("checkpoints").join(learner).join("step-000010");
            fs::create_dir_all(&checkpoint).unwrap();
            fs::write(checkpoint.join("model.safetensors"), weights).unwrap();
        }
        let line = |label: &str, learner: Option<&str>, version: u64, miou: f64| {
            let metrics = json!({"miou": miou});
            json!({"label": label, "learner": learner, "policy_version": version, "metrics": metrics})
                .to_string()
        };
        let lines = [
            line("base", None, 0, 0.4),
            line("rft", Some("policy"), 5, 0.1),
            line("rft", Some("policy"), 10, miou),
            line("sft", Some("shown"), 10, 0.45),
        ];
        fs::write(run.join("evaluations.jsonl"), lines.join("\n")).unwrap();
        run
    }

    fn in_use(served: &Path) -> String {
        fs::read_to_string(served.join("current/model.safetensors")).unwrap()
    }

    #[test]
    fn what_is_better_is_used_and_can_be_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let served = folder.path().join("served");
        promote(&run(folder.path(), "first", 0.5), "rft", &served).unwrap();
        promote(&run(folder.path(), "second", 0.396), "rft", &served).unwrap();
        assert_eq!(in_use(&served), "second");
        rollback(&served).unwrap();
        assert_eq!(in_use(&served), "first");
        let error = rollback(&served).unwrap_err().to_string();
        assert!(error.contains("no policy before policy-0001"), "{error}");
    }

    #[test]
    fn a_label_stands_for_the_weights_of_its_own_learner() {
        let folder = tempfile::tempdir().unwrap();
        let (run, served) = (run(folder.path(), "run", 0.5), folder.path().join("served"));
        promote(&run, "sft", &served).unwrap();
        assert_eq!(in_use(&served), "other weights");
    }

    #[test]
    fn what_is_worse_is_discarded_and_noted() {
        let folder = tempfile::tempdir().unwrap();
        let served = folder.path().join("served");
        promote(&run(folder.path(), "good", 0.5), "rft", &served).unwrap();
        let error =
            promote(&run(folder.path(), "bad", 0.39), "rft", &served).unwrap_err().to_string();
        assert!(error.contains("not promoted: miou 0.3900"), "{error}");
        assert_eq!(in_use(&served), "good");
        let history = fs::read_to_string(served.join("history.jsonl")).unwrap();
        assert!(history.lines().last().unwrap().contains("discard"), "{history}");
    }

    #[test]
    fn a_run_without_evaluations_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = promote(folder.path(), "rft", &folder.path().join("served")).unwrap_err();
        assert!(format!("{error:#}").contains("evaluations.jsonl"));
    }
}
