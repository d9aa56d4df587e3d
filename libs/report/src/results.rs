//! Many runs in one table: methods against the number of shots, over seeds, beside what a paper reports.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::difference::{Difference, Side, difference, is_precision};
use crate::evaluation::newest;
use crate::load::Run;
use crate::page::write;
use crate::student::mean_interval;
use crate::{ReportError, label};

pub use fit::{EqualShots, MeetingShots, ShotFits, ShotLine};
pub use join::{Part, join_results};

mod fit;
mod join;
mod page;
mod plot;
mod text;

/// What one policy of one run was worth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ResultRun {
    /// `base`, `sft` or `rft`, or another label of the evaluator.
    pub label: String,
    /// Shots that it learned from: `None` for all rows. Of a policy that was not trained it says nothing.
    pub shots: Option<usize>,
    /// Whether it learned anything.
    pub is_trained: bool,
    /// Seed of the run.
    pub seed: u64,
    /// Held-out questions that it was measured on, where that is known.
    pub n_questions: Option<usize>,
    /// Held-out metrics by name.
    pub metrics: BTreeMap<String, f64>,
}

/// A number of a paper.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PublishedNumber {
    /// `base`, `sft` or `rft`.
    pub label: String,
    /// Shots of its row; `None` for a policy that was not trained, or learned from all rows.
    pub shots: Option<usize>,
    /// The number as it is printed.
    pub value: f64,
}

/// What a table is about.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ResultsHead {
    /// Its heading.
    pub title: String,
    /// Where the numbers beside ours are from; empty if there are none.
    pub source: String,
    /// Columns by the evaluator's names; the first is what the paper reports, is plotted and is compared in pairs.
    pub metrics: Vec<String>,
    /// Whether numbers are written as percent, as papers do.
    pub is_percent: bool,
    /// What a shot is: `class` or `row`.
    pub shots_per: String,
    /// The paper's numbers.
    pub published: Vec<PublishedNumber>,
    /// What should be known when ours are compared with these.
    pub remarks: Vec<String>,
    /// The command that made the table.
    pub command: String,
}

/// One table.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Results {
    /// What it is about.
    #[serde(flatten)]
    pub head: ResultsHead,
    /// Base, SFT, RFT; within a method by shots.
    pub rows: Vec<ResultRow>,
    /// Differences of the first metric between two methods at the same shots, paired.
    pub differences: Vec<PairedDifference>,
    /// The first metric against the number of shots; `None` where fewer than three numbers were measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fits: Option<ShotFits>,
    /// Each run by itself, which all of the above follows from: a table can be made again, or put together with others.
    pub runs: Vec<ResultRun>,
}

/// One method at one number of shots.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ResultRow {
    /// `base`, `sft` or `rft`.
    pub label: String,
    /// Shots that it learned from; `None` for none or all.
    pub shots: Option<usize>,
    /// Whether it learned anything.
    pub is_trained: bool,
    /// Seeds of the runs, each once.
    pub seeds: Vec<u64>,
    /// Held-out questions that each was measured on: the fewest where they differ; `None` where that is not known.
    pub n_questions: Option<usize>,
    /// By metric; a metric that no run has is absent.
    pub metrics: BTreeMap<String, ResultCell>,
}

/// A metric over seeds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ResultCell {
    /// Mean over the runs.
    pub mean: f64,
    /// Half the width of the 95 % confidence interval (Student's t); `None` for a single run, and where all runs have the
    /// same value.
    pub half_width: Option<f64>,
    /// Runs with this metric.
    pub n: usize,
}

/// How much better one method is than another at the same shots.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PairedDifference {
    /// The method compared with.
    pub from: String,
    /// The method that is judged.
    pub to: String,
    /// Shots of both.
    pub shots: Option<usize>,
    /// `to` minus `from`.
    pub mean: f64,
    /// 95 % confidence interval; `None` where nothing is known of the spread, as where all pairs have the same difference.
    pub interval: Option<(f64, f64)>,
    /// Pairs that it is over.
    pub n: usize,
    /// What a pair is: `seeds`; where there is one seed `questions`, or `pictures` for average precision.
    pub over: &'static str,
}

/// Pairs of methods that are compared; a method of any other name is compared with `rft` and with `base`.
const PAIRS: [(&str, &str); 3] = [("sft", "rft"), ("base", "rft"), ("base", "sft")];

impl Results {
    /// Groups the runs. Of a run that is given twice (same method, shots and seed) the later counts; values that are not
    /// finite are left out.
    pub fn new(head: ResultsHead, runs: &[ResultRun]) -> Self {
        let mut groups: BTreeMap<(usize, &str, Option<usize>), BTreeMap<u64, &ResultRun>> =
            BTreeMap::new();
        for run in runs {
            let shots = run.shots.filter(|_| run.is_trained);
            let key = (label::rank(&run.label), run.label.as_str(), shots);
            let group = groups.entry(key).or_default();
            // A policy that was not trained is the same whatever the seed.
            if run.is_trained || group.is_empty() {
                group.insert(run.seed, run);
            }
        }
        let rows = groups.iter().map(|((_, label, shots), runs)| {
            let cell = |name: &String| Some((name.clone(), cell(runs.values(), name)?));
            ResultRow {
                label: (*label).to_owned(),
                shots: *shots,
                is_trained: runs.values().all(|run| run.is_trained),
                seeds: runs.keys().copied().collect(),
                n_questions: runs.values().filter_map(|run| run.n_questions).min(),
                metrics: head.metrics.iter().filter_map(cell).collect(),
            }
        });
        let rows = rows.collect();
        let first = head.metrics.first();
        let differences = first.map_or_else(Vec::new, |metric| differences(runs, metric));
        let fits = first.and_then(|metric| ShotFits::new(runs, metric));
        Self { head, rows, differences, fits, runs: runs.to_vec() }
    }

    /// Gives differences of a single seed their interval over the questions (pictures, for average precision), from the answers in its run folder.
    ///
    /// # Errors
    /// A file of the run that cannot be read.
    pub fn compare_answers(
        &mut self,
        shots: Option<usize>,
        run_dir: &Path,
    ) -> Result<(), ReportError> {
        let Some(metric) = self.head.metrics.first().cloned() else { return Ok(()) };
        let of_shots = |one: &&mut PairedDifference| one.shots == shots && one.n == 1;
        for one in self.differences.iter_mut().filter(of_shots) {
            if let Some(found) = paired(run_dir, &one.from, &one.to, &metric)? {
                (one.mean, one.interval) = (found.delta, found.interval);
                if found.n_paired > 0 {
                    let over = if is_precision(&metric) { "pictures" } else { "questions" };
                    (one.n, one.over) = (found.n_paired, over);
                }
            }
        }
        Ok(())
    }

    /// What the paper reports for a method at these shots.
    pub(crate) fn published(&self, label: &str, shots: Option<usize>) -> Option<f64> {
        let mut numbers = self.head.published.iter();
        numbers.find(|number| number.label == label && number.shots == shots).map(|n| n.value)
    }
}

/// Writes `table.md`, `table.json` and `table.html` into a folder: all tables, one after the other.
///
/// # Errors
/// A file that cannot be written.
pub fn write_results(tables: &[Results], dir: &Path) -> Result<(), ReportError> {
    let markdown: Vec<String> = tables.iter().map(Results::to_markdown).collect();
    write(&dir.join("table.md"), &markdown.join("\n"))?;
    let json = serde_json::to_string_pretty(tables).expect("names and numbers are JSON");
    write(&dir.join("table.json"), &json)?;
    write(&dir.join("table.html"), &page::page(tables))
}

/// The difference of two policies of one run by the same questions.
fn paired(
    run_dir: &Path,
    from: &str,
    to: &str,
    metric: &str,
) -> Result<Option<Difference>, ReportError> {
    let run = Run::load_results(run_dir)?;
    let side = |label: &str| {
        let evaluation = newest(&run.evaluations, label)?;
        let predictions = run.predictions.get(label).map_or(&[][..], Vec::as_slice);
        Some(Side { evaluation, predictions })
    };
    Ok(side(from).zip(side(to)).and_then(|(from, to)| difference(&from, &to, metric)))
}

fn differences(runs: &[ResultRun], metric: &str) -> Vec<PairedDifference> {
    let trained = runs.iter().filter(|run| run.is_trained);
    let shots: BTreeSet<Option<usize>> = trained.map(|run| run.shots).collect();
    let labels: BTreeSet<&str> = runs.iter().map(|run| run.label.as_str()).collect();
    let others = labels.into_iter().filter(|label| label::rank(label) == label::OTHER);
    let others = others.flat_map(|label| ["rft", "base"].map(|from| (from, label)));
    let pairs: Vec<(&str, &str)> = PAIRS.into_iter().chain(others).collect();
    let pairs = shots.iter().flat_map(|shots| pairs.iter().map(|(from, to)| (*shots, *from, *to)));
    let difference = |(shots, from, to): (Option<usize>, &str, &str)| {
        let of = |label: &str, seed: u64| {
            let is = |run: &&ResultRun| {
                run.label == label && run.seed == seed && (!run.is_trained || run.shots == shots)
            };
            runs.iter().rfind(is).and_then(|run| run.metrics.get(metric)).filter(|v| v.is_finite())
        };
        let seeds: BTreeSet<u64> = runs.iter().map(|run| run.seed).collect();
        let changes: Vec<f64> =
            seeds.iter().filter_map(|seed| Some(of(to, *seed)? - of(from, *seed)?)).collect();
        let (mean, half) = mean_interval(&changes)?;
        Some(PairedDifference {
            from: from.to_owned(),
            to: to.to_owned(),
            shots,
            mean,
            interval: half.map(|half| (mean - half, mean + half)),
            n: changes.len(),
            over: "seeds",
        })
    };
    pairs.filter_map(difference).collect()
}

fn cell<'a>(runs: impl Iterator<Item = &'a &'a ResultRun>, metric: &str) -> Option<ResultCell> {
    let values: Vec<f64> =
        runs.filter_map(|run| run.metrics.get(metric)).copied().filter(|v| v.is_finite()).collect();
    let (mean, half_width) = mean_interval(&values)?;
    Some(ResultCell { mean, half_width, n: values.len() })
}

#[cfg(test)]
mod tests;
