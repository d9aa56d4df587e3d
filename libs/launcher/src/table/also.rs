//! What the policies of a table do on data that they were not tuned for: another domain, or a task that they may have
//! forgotten.

use std::path::{Path, PathBuf};

use eyre::{WrapErr, ensure};
use serde::{Deserialize, Serialize};
use vrft_evaluate::Judge;
use vrft_report::{ResultRun, Results};

use super::cells::Cell;
use super::existence::check_same;
use super::{Table, head_of};
use crate::cli::GraphOptions;
use crate::config::Config;
use crate::graph::Graph;
use crate::print::say;

/// One of `table.also`: another configuration, whose held-out rows and reward the policies are judged by.
pub(super) struct Also {
    title: String,
    metrics: Vec<String>,
    config: Config,
    /// The policy that the table starts from.
    base: PathBuf,
    /// Name of the files that keep what was found.
    stem: String,
    /// Loaded when it is first needed.
    judge: Option<Judge>,
    runs: Vec<ResultRun>,
}

/// What a policy was worth, as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    label: String,
    /// Questions that it was judged by; unknown of what earlier versions kept.
    #[serde(default)]
    n: Option<usize>,
    metrics: std::collections::BTreeMap<String, f64>,
}

/// What the command line may say of judging that holds for other data too.
const OF_JUDGING: [&str; 3] = ["evaluation.limit=", "evaluation.batch_size=", "evaluation.device="];

/// All of a table's.
///
/// # Errors
/// A configuration that cannot be read; two that are called alike; numbers that were found with other settings.
pub(super) fn all_of(table: &Table) -> eyre::Result<Vec<Also>> {
    let mut all: Vec<Also> = Vec::new();
    if table.spec.also.is_empty() {
        return Ok(all);
    }
    let base = Graph::load(&table.graph)?.checkpoint()?;
    for file in &table.spec.also {
        let graph = table.graph.graph.clone();
        let given = table.graph.overrides.iter();
        let of_judging = |one: &&String| OF_JUDGING.iter().any(|key| one.starts_with(key));
        let overrides = given.filter(of_judging).cloned().collect();
        let options = GraphOptions { graph, config: Some(file.clone()), overrides };
        let graph = Graph::load(&options).wrap_err_with(|| format!("table.also: {file:?}"))?;
        let mut config = graph.config;
        config.policy.clone_from(&table.config.policy);
        let spec = config.table.clone().unwrap_or_default();
        let name = if spec.title.is_empty() { config.run.name.clone() } else { spec.title };
        let stem = file.file_stem().unwrap_or_default().to_string_lossy();
        let stem = format!("also-{stem}");
        ensure!(
            all.iter().all(|one| one.stem != stem),
            "table.also: two files are called {stem:?}"
        );
        let made_with = table.folder.join(format!("{stem}.toml"));
        check_same(&made_with.with_extension("jsonl"), &made_with, &config)?;
        let title = format!("{}, judged by: {name}", table.spec.title);
        let metrics = spec.metrics;
        all.push(Also {
            title,
            metrics,
            config,
            base: base.clone(),
            stem,
            judge: None,
            runs: Vec::new(),
        });
    }
    Ok(all)
}

impl Also {
    /// Judges the policies of a finished run by their last checkpoints, and the one that it started from; what is known is
    /// read.
    pub(super) fn judge(&mut self, table: &Table, cell: &Cell) -> eyre::Result<()> {
        if self.runs.is_empty() {
            let made_with = table.folder.join(format!("{}.toml", self.stem));
            std::fs::write(&made_with, self.config.to_toml())
                .wrap_err_with(|| format!("cannot write {made_with:?}"))?;
        }
        // The same for all runs, with each of which it is a pair.
        let base = [("base".to_owned(), self.base.clone())];
        let mut kept = self.known_or(&self.file_in(&table.folder), &base)?;
        kept.extend(self.known_or(&self.file_in(&cell.folder), &cell.trained()?)?);
        self.runs
            .extend(kept.into_iter().map(|kept| cell.result(kept.label, kept.n, kept.metrics)));
        Ok(())
    }

    fn file_in(&self, folder: &Path) -> PathBuf {
        folder.join(format!("{}.jsonl", self.stem))
    }

    /// What a file has, or else what these policies are worth, which is then written to it.
    fn known_or(&mut self, file: &Path, policies: &[(String, PathBuf)]) -> eyre::Result<Vec<Kept>> {
        if let Ok(text) = std::fs::read_to_string(file) {
            let line =
                |line: &str| serde_json::from_str(line).wrap_err_with(|| format!("{file:?}"));
            return text.lines().map(line).collect();
        }
        let mut all = Vec::new();
        for (label, checkpoint) in policies {
            say!("{}: {label}", self.title);
            let judge = match &self.judge {
                Some(judge) => judge,
                None => {
                    let mut config = self.config.judge();
                    config.policy.path.clone_from(&self.base);
                    let judge = Judge::load(&config).wrap_err("table.also: evaluation.test")?;
                    self.judge.insert(judge)
                }
            };
            let judgment =
                judge.evaluate(checkpoint).wrap_err_with(|| format!("{checkpoint:?}"))?;
            let vrft_evaluate::Summary { n, metrics, .. } = judgment.summary();
            all.push(Kept { label: label.clone(), n: Some(n), metrics });
        }
        let lines = all.iter().map(|kept| serde_json::to_string(kept).map(|line| line + "\n"));
        let lines: String = lines.collect::<Result<_, _>>()?;
        std::fs::write(file, lines).wrap_err_with(|| format!("cannot write {file:?}"))?;
        Ok(all)
    }

    /// The table as far as it is known.
    pub(super) fn results(&self, table: &Table) -> Results {
        let mut head = head_of(table, &self.metrics, &self.runs);
        head.title.clone_from(&self.title);
        (head.source, head.published, head.remarks) = (String::new(), Vec::new(), Vec::new());
        Results::new(head, &self.runs)
    }
}
