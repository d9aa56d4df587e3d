//! The runs of a table: started, resumed, found finished; each in a folder of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use eyre::{WrapErr, bail, ensure, eyre};
use serde_json::Value;
use vrft_config::Document;
use vrft_report::ResultRun;

use super::Table;
use crate::cli::GraphOptions;
use crate::config::Config;
use crate::difference;
use crate::graph::Graph;
use crate::print::say;

const EVALUATIONS: &str = "evaluations.jsonl";
/// Labels that are the same in every run of a table: nothing was learned for them.
const UNTRAINED: [&str; 2] = ["base", "constant"];

/// One run of a table.
#[derive(Debug)]
pub(crate) struct Cell {
    pub(crate) folder: PathBuf,
    pub(crate) shots: Option<usize>,
    pub(crate) seed: u64,
    pub(crate) graph: GraphOptions,
}

/// Starts runs.
pub(crate) struct Runner {
    /// This program.
    pub(crate) vrft: PathBuf,
    /// Whether the nodes are built already.
    pub(crate) is_built: bool,
}

impl Cell {
    /// The runs with these shots and this seed, one for each graph.
    ///
    /// # Errors
    /// Shots that the table has no number of steps for.
    pub(crate) fn all_of(
        table: &Table,
        shots: Option<usize>,
        seed: u64,
    ) -> eyre::Result<Vec<Self>> {
        let mut options = table.graph.clone();
        if let Some(steps) = table.spec.steps(shots).map_err(|why| eyre!(why))? {
            options.overrides.push(format!("learner.steps={steps}"));
        }
        let mut name = format!("seed-{seed}");
        if let Some(shots) = shots {
            options.overrides.push(format!("{}={shots}", table.spec.per.key()));
            name = format!("shots-{shots}-{name}");
        }
        options.overrides.push(format!("run.seed={seed}"));
        if table.graphs.len() < 2 {
            let folder = table.folder.join(name);
            return Ok(vec![Self { folder, shots, seed, graph: options }]);
        }
        let of_graph = |graph: &PathBuf| {
            let stem = graph.file_stem().unwrap_or_default().to_string_lossy();
            let folder = table.folder.join(format!("{name}-{stem}"));
            let graph = GraphOptions { graph: Some(graph.clone()), ..options.clone() };
            Self { folder, shots, seed, graph }
        };
        Ok(table.graphs.iter().map(of_graph).collect())
    }

    /// What its policies are worth: of each the newest, without the constant answer.
    pub(crate) fn read(&self) -> eyre::Result<Vec<ResultRun>> {
        let mut runs: BTreeMap<String, (u64, ResultRun)> = BTreeMap::new();
        for line in self.lines()? {
            let label = line["label"].as_str().unwrap_or_default().to_owned();
            let version = line["policy_version"].as_u64().unwrap_or_default();
            if label == UNTRAINED[1] || label.contains('@') {
                continue;
            }
            let metrics = serde_json::from_value(line["metrics"].clone())?;
            let n = line["n"].as_u64().map(|n| n as usize);
            let run = self.result(label.clone(), n, metrics);
            if runs.get(&label).is_none_or(|(newest, _)| *newest <= version) {
                runs.insert(label, (version, run));
            }
        }
        Ok(runs.into_values().map(|(_, run)| run).collect())
    }

    /// What one of its policies is worth.
    pub(super) fn result(
        &self,
        label: String,
        n_questions: Option<usize>,
        metrics: BTreeMap<String, f64>,
    ) -> ResultRun {
        let is_trained = label != UNTRAINED[0];
        ResultRun { label, shots: self.shots, is_trained, seed: self.seed, n_questions, metrics }
    }

    /// The policies that were tuned, by label, and where each was saved last.
    pub(super) fn trained(&self) -> eyre::Result<Vec<(String, PathBuf)>> {
        let mut newest: BTreeMap<String, (u64, PathBuf)> = BTreeMap::new();
        for line in self.lines()? {
            let (Some(label), Some(learner)) = (line["label"].as_str(), line["learner"].as_str())
            else {
                continue;
            };
            let version = line["policy_version"].as_u64().unwrap_or_default();
            let folder = format!("checkpoints/{learner}/step-{version:06}");
            let is_new = newest.get(label).is_none_or(|(known, _)| *known <= version);
            if is_new && !label.contains('@') {
                newest.insert(label.to_owned(), (version, self.folder.join(folder)));
            }
        }
        Ok(newest.into_iter().map(|(label, (_, folder))| (label, folder)).collect())
    }

    /// What its evaluator wrote.
    pub(crate) fn lines(&self) -> eyre::Result<Vec<Value>> {
        let path = self.folder.join(EVALUATIONS);
        let text =
            std::fs::read_to_string(&path).wrap_err_with(|| format!("cannot read {path:?}"))?;
        let line = |line: &str| serde_json::from_str(line).wrap_err_with(|| format!("in {path:?}"));
        text.lines().map(line).collect()
    }

    /// Whether the run has come to its end: each of its policies was evaluated after the last step, and the report written.
    pub(crate) fn is_finished(&self, graph: &Graph) -> bool {
        if !self.folder.join("report.html").exists() {
            return false;
        }
        let Ok(lines) = self.lines() else { return false };
        let steps = graph.config.learner.steps;
        let ended = lines.iter().filter(|line| line["policy_version"] == steps);
        let ended: BTreeSet<&str> = ended.filter_map(|line| line["label"].as_str()).collect();
        let labels = lines.iter().filter_map(|line| line["label"].as_str());
        let mut trained =
            labels.filter(|label| !UNTRAINED.contains(&label.split('@').next().unwrap_or(label)));
        !ended.is_empty() && trained.all(|label| ended.contains(label))
    }

    /// Whether the run has begun, by these settings; a folder in which nothing was run is removed.
    ///
    /// # Errors
    /// A run that something else has made, a folder that cannot be removed.
    pub(crate) fn has_begun(&self, graph: &Graph) -> eyre::Result<bool> {
        let has_begun = self.folder.join("config.toml").exists();
        if has_begun {
            self.check_same(graph)?;
        } else if self.folder.exists() {
            std::fs::remove_dir_all(&self.folder).wrap_err_with(|| {
                format!("cannot remove {:?}, where nothing was run", self.folder)
            })?;
        }
        Ok(has_begun)
    }

    /// Refuses a run that something else has made.
    fn check_same(&self, graph: &Graph) -> eyre::Result<()> {
        let config = self.folder.join("config.toml");
        let before = Config::read(&Document::load(&config, &[])?)?;
        let differences = difference::of_configs(&before, &graph.config)?;
        ensure!(
            differences.is_empty(),
            "{:?} was run with other settings:\n    {}\n  Name another --out, or remove the folder to run it again",
            self.folder,
            differences.join("\n    ")
        );
        Ok(())
    }

    /// The arguments of the command that runs it, or goes on with it.
    pub(crate) fn arguments(&self, command: &mut Command, resume: bool, is_built: bool) {
        command.arg("run");
        if resume {
            command.arg("--resume").arg(&self.folder);
        } else {
            command.arg(self.graph.graph()).arg("--out").arg(&self.folder);
            if let Some(config) = &self.graph.config {
                command.arg("--config").arg(config);
            }
            for assignment in &self.graph.overrides {
                command.args(["--set", assignment]);
            }
        }
        if is_built {
            command.arg("--no-build");
        }
    }

    fn describe(&self, table: &Table) -> String {
        let shots = self.shots.map_or("all rows".to_owned(), |shots| {
            format!("{shots} shots a {}", table.spec.per.name())
        });
        let graph = self.graph.graph.as_ref().filter(|_| table.graphs.len() > 1);
        let graph = graph.map_or(String::new(), |graph| format!(", {}", graph.display()));
        format!("{}: {shots}, seed {}{graph}", table.spec.title, self.seed)
    }
}

impl Runner {
    /// Runs a cell to its end, from where it stopped if it has begun; one that is finished stays as it is.
    pub(crate) fn finish(&mut self, table: &Table, cell: &Cell) -> eyre::Result<()> {
        let graph = Graph::load(&cell.graph)?;
        let has_begun = cell.has_begun(&graph)?;
        if cell.is_finished(&graph) {
            return Ok(());
        }
        say!("{}", cell.describe(table));
        if !has_begun {
            let is_of_a_cell = |line: &str| OF_A_CELL.iter().any(|key| line.starts_with(key));
            lend_untrained(&table.folder, &cell.folder, &graph.config, &is_of_a_cell)?;
        }
        self.run(cell, has_begun)?;
        self.is_built = true;
        if !cell.is_finished(&graph) {
            bail!("{}: the run stopped; the same command goes on with it", cell.describe(table));
        }
        Ok(())
    }

    /// One run in a process of its own: dora's daemon can be embedded once per process.
    fn run(&self, cell: &Cell, resume: bool) -> eyre::Result<()> {
        let mut command = Command::new(&self.vrft);
        cell.arguments(&mut command, resume, self.is_built);
        let status = command.status()?;
        ensure!(status.success(), "the run failed; see {:?}", cell.folder);
        Ok(())
    }
}

/// Keys in which the runs of a table differ; a policy that was not trained depends on none of them.
const OF_A_CELL: [&str; 3] = ["config.run.seed:", "config.data.shots", "config.learner.steps:"];

/// Copies what a finished run of the same table found for the policy that is started from, so that it is not evaluated
/// again: it depends on neither shots nor seed. A run with other settings, of an earlier command, lends nothing.
pub(crate) fn lend_untrained(
    table: &Path,
    folder: &Path,
    config: &Config,
    is_of_a_cell: &dyn Fn(&str) -> bool,
) -> eyre::Result<()> {
    let Ok(cells) = std::fs::read_dir(table) else { return Ok(()) };
    let finished = cells.filter_map(Result::ok).map(|entry| entry.path());
    let mut finished: Vec<PathBuf> =
        finished.filter(|cell| cell.join("report.html").exists()).collect();
    finished.sort();
    let is_alike = |cell: &&PathBuf| {
        let before =
            Document::load(&cell.join("config.toml"), &[]).and_then(|all| Config::read(&all));
        let differences =
            before.ok().and_then(|before| difference::of_configs(&before, config).ok());
        differences.is_some_and(|all| all.iter().all(|line| is_of_a_cell(line)))
    };
    let Some(from) = finished.iter().find(is_alike) else { return Ok(()) };
    let text = std::fs::read_to_string(from.join(EVALUATIONS))?;
    let is_untrained = |line: &&str| {
        let line: Value = serde_json::from_str(line).unwrap_or_default();
        let label = line["label"].as_str().unwrap_or_default();
        line["policy_version"] == 0 && UNTRAINED.contains(&label.split('@').next().unwrap_or(""))
    };
    let kept: String = text.lines().filter(is_untrained).map(|line| format!("{line}\n")).collect();
    std::fs::create_dir_all(folder.join("images"))?;
    std::fs::write(folder.join(EVALUATIONS), kept)?;
    for entry in std::fs::read_dir(from)?.chain(std::fs::read_dir(from.join("images"))?) {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_image = path.parent() == Some(&from.join("images"));
        let of_untrained = UNTRAINED.iter().any(|label| {
            name == format!("predictions-{label}.jsonl")
                || name.starts_with(&format!("predictions-{label}@"))
        });
        if is_image {
            std::fs::copy(&path, folder.join("images").join(&name))?;
        } else if of_untrained {
            std::fs::copy(&path, folder.join(&name))?;
        }
    }
    Ok(())
}
