//! A trial: one combination of settings, run for the steps of a rung in a folder of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use eyre::{WrapErr, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::space::{Settings, TuneConfig};
use super::verdict::verdict;
use crate::cli::GraphOptions;
use crate::graph::Graph;
use crate::print::say;
use crate::table::cells::{Cell, lend_untrained};

/// Between two looks at the metrics of a trial.
const PAUSE: Duration = Duration::from_secs(2);

/// Why a trial was ended early, in its run folder.
const VERDICT: &str = "verdict.txt";

/// How all trials are run.
pub(crate) struct Runner<'a> {
    /// This program.
    pub(crate) vrft: PathBuf,
    pub(crate) is_built: bool,
    /// The folder of all trials.
    pub(crate) folder: &'a Path,
    /// The graph and the configuration that they start from.
    pub(crate) graph: GraphOptions,
    pub(crate) config: &'a TuneConfig,
    pub(crate) seed: u64,
}

/// What came of a trial.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Outcome {
    /// It went to its last step: the held-out measure with its 95 % interval where there is one.
    Finished { metric: String, value: f64, interval: Option<(f64, f64)> },
    /// It was ended, and why.
    Ended(String),
}

impl Runner<'_> {
    /// Runs a combination for so many steps, or finds that it was run: what is finished or ended stays as it is, what has
    /// begun goes on.
    ///
    /// # Errors
    /// A run that fails, or that other settings have made; a measure that nothing was measured by.
    pub(crate) fn run(
        &mut self,
        idx: usize,
        settings: &Settings,
        steps: u64,
        metric: &str,
    ) -> eyre::Result<Outcome> {
        let cell = self.cell(idx, settings, steps);
        let graph = Graph::load(&cell.graph)?;
        let ended = cell.folder.join(VERDICT);
        let has_begun = cell.has_begun(&graph)?;
        if let Ok(why) = std::fs::read_to_string(&ended) {
            return Ok(Outcome::Ended(why));
        }
        if !cell.is_finished(&graph) {
            say!("Trial {idx}, {steps} steps: {}", shown(settings));
            if !has_begun {
                let is_tried = |line: &str| is_of_a_trial(line, settings, self.config);
                lend_untrained(self.folder, &cell.folder, &graph.config, &is_tried)?;
            }
            let status = self.watch(&cell, has_begun)?;
            self.is_built = true;
            if let Some(why) = verdict(&cell.folder, self.config) {
                std::fs::write(&ended, &why).wrap_err_with(|| format!("{ended:?}"))?;
                return Ok(Outcome::Ended(why));
            }
            ensure!(status.success(), "trial {idx} failed; see {:?}", cell.folder);
            if !cell.is_finished(&graph) {
                bail!("trial {idx} stopped; the same command goes on with it");
            }
        }
        measured(&cell, steps, metric)
    }

    fn cell(&self, idx: usize, settings: &Settings, steps: u64) -> Cell {
        let mut graph = self.graph.clone();
        graph.overrides.extend(settings.iter().map(|(key, value)| format!("{key}={value}")));
        graph.overrides.push(format!("learner.steps={steps}"));
        graph.overrides.push(format!("run.seed={}", self.seed));
        let folder = self.folder.join(format!("trial-{idx:02}-steps-{steps}"));
        Cell { folder, shots: None, seed: self.seed, graph }
    }

    /// One run in a process of its own, which is asked to stop where the metrics say that it has gone wrong.
    fn watch(&self, cell: &Cell, resume: bool) -> eyre::Result<ExitStatus> {
        let mut command = Command::new(&self.vrft);
        cell.arguments(&mut command, resume, self.is_built);
        let mut child = command.spawn()?;
        let mut is_stopped = false;
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            if !is_stopped && verdict(&cell.folder, self.config).is_some() {
                is_stopped = true;
                stop(&child)?;
            }
            std::thread::sleep(PAUSE);
        }
    }
}

/// As Ctrl-C does: the run saves and ends.
fn stop(child: &Child) -> eyre::Result<()> {
    let pid = i32::try_from(child.id()).wrap_err("the number of a process")?;
    kill(Pid::from_raw(pid), Signal::SIGINT).wrap_err("cannot stop a trial")
}

/// Whether a difference between two trials is one that a policy which was not trained does not depend on.
fn is_of_a_trial(line: &str, settings: &Settings, config: &TuneConfig) -> bool {
    const OF_LEARNING: [&str; 5] =
        ["optimizer.", "loss.", "advantage.", "rollout.group_size", "rollout.temperature"];
    let tried = settings.keys().chain(config.space.keys()).map(String::as_str);
    let tried = tried.filter(|key| OF_LEARNING.iter().any(|start| key.starts_with(start)));
    let mut keys = tried.chain(["run.seed", "learner.steps"]);
    keys.any(|key| line.starts_with(&format!("config.{key}:")))
}

/// The measure after the last step, of the policy that learned from rewards; an empty name stands for the usual one.
fn measured(cell: &Cell, steps: u64, metric: &str) -> eyre::Result<Outcome> {
    let lines = cell.lines()?;
    let last = lines.iter().find(|line| {
        let label = line["label"].as_str().unwrap_or_default();
        line["policy_version"] == steps && label != "sft" && !label.contains('@')
    });
    let Some(last) = last else { bail!("{:?} has no evaluation of step {steps}", cell.folder) };
    let metrics: BTreeMap<String, f64> = serde_json::from_value(last["metrics"].clone())
        .wrap_err_with(|| format!("evaluations in {:?}", cell.folder))?;
    let found = if metric.is_empty() {
        vrft_evaluate::leading_measure(&metrics)
    } else {
        metrics.get(metric).map(|value| (metric, *value))
    };
    let Some((metric, value)) = found else {
        let there: Vec<&str> = metrics.keys().map(String::as_str).collect();
        bail!("tune.metric = {metric:?}: not measured; there are {}", there.join(", "));
    };
    let bound = |end: &str| metrics.get(&format!("{metric}_ci_{end}")).copied();
    let interval = bound("low").zip(bound("high"));
    Ok(Outcome::Finished { metric: metric.to_owned(), value, interval })
}

/// What the policy that all trials start from is worth by the measure, once a trial has judged it.
pub(crate) fn of_base(folder: &Path, metric: &str) -> Option<f64> {
    let trials = std::fs::read_dir(folder).ok()?.filter_map(Result::ok);
    let mut found = trials.filter_map(|trial| {
        let text = std::fs::read_to_string(trial.path().join("evaluations.jsonl")).ok()?;
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut base = lines.filter(|line| line["label"] == "base");
        base.next()?["metrics"][metric].as_f64()
    });
    found.next()
}

/// A combination in words.
pub(crate) fn shown(settings: &Settings) -> String {
    if settings.is_empty() {
        return "the configuration as it is".to_owned();
    }
    let each = settings.iter().map(|(key, value)| format!("{key} = {value}"));
    each.collect::<Vec<_>>().join(", ")
}
