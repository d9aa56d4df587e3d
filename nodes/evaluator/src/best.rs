//! The best policy of each label: kept in `best/<label>/step-N/`, where no rotation of checkpoints reaches it, and named
//! in `best.json`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use eyre::WrapErr;
use serde_json::{Value, json};
use vrft_checkpoint::{Transfer, transfer};

const FILE: &str = "best.json";
const FOLDER: &str = "best";

/// The best policies so far.
#[derive(Debug)]
pub(crate) struct Best {
    run_dir: PathBuf,
    /// The key of the rows that are chosen on.
    chosen_on: &'static str,
    /// By label, as in the file.
    standings: BTreeMap<String, Value>,
}

/// A policy with what it is worth.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rated<'a> {
    pub(crate) label: &'a str,
    pub(crate) learner: Option<&'a str>,
    pub(crate) step: u64,
    /// The measure, and its value: the higher the better.
    pub(crate) worth: (&'a str, f64),
    /// What the policy that the run started from is worth by that measure.
    pub(crate) base: Option<f64>,
}

impl Best {
    /// Continues the standings of a resumed run. One that was chosen on other rows, or whose folder is gone, is forgotten.
    pub(crate) fn open(run_dir: &Path, chosen_on: &'static str) -> Self {
        let text = fs::read_to_string(run_dir.join(FILE)).unwrap_or_default();
        let mut standings: BTreeMap<String, Value> =
            serde_json::from_str(&text).unwrap_or_default();
        standings.retain(|_, standing| {
            let folder = standing["checkpoint"].as_str().map(|folder| run_dir.join(folder));
            standing["chosen_on"] == chosen_on && folder.is_some_and(|folder| folder.is_dir())
        });
        Self { run_dir: run_dir.to_owned(), chosen_on, standings }
    }

    /// Keeps a policy if it is better than all before it: a candidate is moved, a checkpoint is linked.
    pub(crate) fn offer(&mut self, rated: &Rated<'_>, location: &Path) -> eyre::Result<()> {
        let Rated { label, learner, step, worth: (measure, value), base } = *rated;
        let standing = self.standings.get(label);
        if standing.and_then(|standing| standing["value"].as_f64()).is_some_and(|v| v >= value) {
            return Ok(());
        }
        let of_label = Path::new(FOLDER).join(vrft_node::file_name(label));
        let folder = of_label.join(format!("step-{step:06}"));
        let kept = self.run_dir.join(&folder);
        // Checkpoints are never written in place, so a link keeps what it links to.
        let is_candidate = location.starts_with(self.run_dir.join("candidates"));
        let how = if is_candidate { Transfer::Move } else { Transfer::Link };
        transfer(location, &kept, how).wrap_err("cannot keep the best policy")?;
        let standing = json!({
            "learner": learner, "step": step, "measure": measure, "value": value, "base": base,
            "chosen_on": self.chosen_on, "checkpoint": folder,
        });
        self.standings.insert(label.to_owned(), standing);
        self.write()?;
        remove_others(&self.run_dir.join(of_label), &kept)
    }

    fn write(&self) -> eyre::Result<()> {
        let path = self.run_dir.join(FILE);
        vrft_config::replace(&path, serde_json::to_string_pretty(&self.standings)?)
            .wrap_err_with(|| format!("cannot write {path:?}"))
    }
}

/// Removes what was best before.
fn remove_others(folder: &Path, kept: &Path) -> eyre::Result<()> {
    for entry in fs::read_dir(folder).wrap_err_with(|| format!("{folder:?}"))? {
        let path = entry?.path();
        if path != kept {
            fs::remove_dir_all(&path).wrap_err_with(|| format!("cannot remove {path:?}"))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A policy in a folder of this name below the run folder.
    fn policy(run: &Path, folder: &str, weights: &str) -> PathBuf {
        let folder = run.join(folder);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("model.safetensors"), weights).unwrap();
        fs::write(folder.join("state.json"), "{}").unwrap();
        folder
    }

    fn rated(step: u64, value: f64) -> Rated<'static> {
        let worth = ("miou", value);
        Rated { label: "rft", learner: Some("learner"), step, worth, base: Some(0.3) }
    }

    fn kept(run: &Path) -> Vec<String> {
        let entries = fs::read_dir(run.join("best/rft")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn the_best_is_kept_whatever_comes_after_it() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path();
        let mut best = Best::open(run, "evaluation.test");
        for (step, value) in [(10, 0.4), (20, 0.6), (30, 0.5), (40, 0.6)] {
            let at = policy(run, &format!("candidates/learner/step-{step}"), &step.to_string());
            best.offer(&rated(step, value), &at).unwrap();
        }
        assert_eq!(kept(run), ["step-000020"]);
        vrft_checkpoint::verify(&run.join("best/rft/step-000020"), None).unwrap();
        let weights = fs::read_to_string(run.join("best/rft/step-000020/model.safetensors"));
        assert_eq!(weights.unwrap(), "20");
        // A resumed run goes on with it.
        let mut best = Best::open(run, "evaluation.test");
        let at = policy(run, "checkpoints/learner/step-000050", "50");
        best.offer(&rated(50, 0.55), &at).unwrap();
        assert_eq!(kept(run), ["step-000020"]);
        best.offer(&rated(50, 0.7), &at).unwrap();
        assert_eq!(kept(run), ["step-000050"]);
        // The checkpoint stays where it is, and what is the learner's stays with it.
        assert!(at.join("model.safetensors").exists());
        assert!(!run.join("best/rft/step-000050/state.json").exists());
        let text = fs::read_to_string(run.join(FILE)).unwrap();
        let written: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(written["rft"]["checkpoint"], "best/rft/step-000050");
        assert_eq!((&written["rft"]["value"], &written["rft"]["base"]), (&json!(0.7), &json!(0.3)));
    }

    #[test]
    fn what_was_chosen_on_other_rows_or_is_gone_does_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path();
        let mut best = Best::open(run, "evaluation.test");
        best.offer(&rated(10, 0.9), &policy(run, "candidates/a", "10")).unwrap();
        assert!(Best::open(run, "evaluation.validation").standings.is_empty());
        assert_eq!(Best::open(run, "evaluation.test").standings.len(), 1);
        fs::remove_dir_all(run.join("best")).unwrap();
        assert!(Best::open(run, "evaluation.test").standings.is_empty());
    }
}
