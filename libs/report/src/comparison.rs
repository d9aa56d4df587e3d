//! Base → SFT → RFT on the held-out data, as a table for the terminal.

use std::fmt;
use std::path::Path;

use crate::difference::{Difference, Side, difference};
use crate::estimate::Estimate;
use crate::evaluation::{metric_names, metric_title, newest};
use crate::label::Kind;
use crate::load::Run;
use crate::number::{fixed, signed};
use crate::{ReportError, label};

/// The held-out metrics of the policies of a run. `Display` is the terminal table.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Comparison {
    /// Names of the metrics as the evaluator wrote them; the first is the one that the headline speaks of.
    pub metrics: Vec<String>,
    /// One row for each label, base first. Of several versions the newest, not the best.
    pub rows: Vec<ComparisonRow>,
    /// Base to each learned policy, and of those that learned from rewards also the supervised ones and the best constant
    /// answer to each, in the first metric.
    pub differences: Vec<Difference>,
    /// What a policy would earn, where the run estimated that and evaluated nothing.
    pub(crate) estimate: Option<Estimate>,
}

/// The metrics of one policy.
#[derive(Debug, Clone, PartialEq)]
pub struct ComparisonRow {
    /// The evaluator's name for it, such as `base`, `sft`, `rft` or `constant`; on the held-out data of one of several
    /// tasks `rft@task`.
    pub label: String,
    /// What kind of policy it is.
    pub(crate) kind: Kind,
    /// Learner steps that this policy has seen.
    pub policy_version: u64,
    /// Number of held-out samples that were answered.
    pub n: usize,
    /// One cell for each of [`Comparison::metrics`]; `None` where it was not measured.
    pub cells: Vec<Option<ComparisonCell>>,
}

/// One metric of one policy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ComparisonCell {
    /// The value of the measure.
    pub value: f64,
    /// Its 95 % confidence interval, where the evaluator gave one.
    pub interval: Option<(f64, f64)>,
    /// Difference to the base policy; `None` in the base's own row.
    pub delta: Option<f64>,
}

/// The comparison of a run, from `evaluations.jsonl` and, for paired intervals, `predictions-*.jsonl`.
///
/// A run without evaluations gives an empty comparison.
pub fn comparison(run_dir: &Path) -> Result<Comparison, ReportError> {
    Ok(Comparison::new(&Run::load_results(run_dir)?))
}

impl Comparison {
    pub(crate) fn new(run: &Run) -> Comparison {
        let labels = label::ordered(run.evaluations.iter().map(|e| e.label.as_str()));
        let evaluations: Vec<_> =
            labels.iter().filter_map(|label| newest(&run.evaluations, label)).collect();
        let metrics = metric_names(&evaluations);
        let base_of = |evaluation: &&crate::evaluation::Evaluation| {
            let label = label::base_of(&evaluation.label);
            evaluations.iter().find(|e| e.label == label && e.label != evaluation.label)
        };
        let row = |evaluation: &&crate::evaluation::Evaluation| ComparisonRow {
            label: evaluation.label.clone(),
            kind: run.kind_of(&evaluation.label),
            policy_version: evaluation.policy_version,
            n: evaluation.n,
            cells: metrics
                .iter()
                .map(|name| {
                    let value = evaluation.metric(name)?;
                    let base = base_of(evaluation);
                    let delta = base.and_then(|base| Some(value - base.metric(name)?));
                    Some(ComparisonCell { value, interval: evaluation.interval(name), delta })
                })
                .collect(),
        };
        let rows: Vec<ComparisonRow> = evaluations.iter().map(row).collect();
        let differences = metrics.first().map(|metric| differences(run, &rows, metric));
        let estimate = run.estimate.clone();
        Comparison { rows, differences: differences.unwrap_or_default(), metrics, estimate }
    }

    /// The row of a label.
    pub fn row(&self, label: &str) -> Option<&ComparisonRow> {
        self.rows.iter().find(|row| row.label == label)
    }

    /// Label of the first policy of a kind, on the held-out data of the whole run.
    pub(crate) fn first(&self, kind: Kind) -> Option<&str> {
        let mut rows = self.rows.iter().filter(|row| row.kind == kind);
        rows.find(|row| label::is_of_whole_run(&row.label)).map(|row| row.label.as_str())
    }

    /// The difference between two labels in the first metric.
    pub fn difference(&self, from: &str, to: &str) -> Option<&Difference> {
        self.differences.iter().find(|d| d.from == from && d.to == to)
    }

    /// The table as plain text, without color.
    pub fn to_text(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rows.is_empty() {
            return match &self.estimate {
                Some(estimate) => writeln!(f, "{estimate}"),
                None => writeln!(f, "no evaluation yet"),
            };
        }
        let lines = self.lines();
        let width = |column: usize| {
            lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..=self.metrics.len()).map(width).collect();
        for line in &lines {
            let mut text = format!("{:<width$}", line[0], width = widths[0]);
            for (cell, width) in line.iter().zip(&widths).skip(1) {
                text += &format!("  {cell:>width$}");
            }
            writeln!(f, "{}", text.trim_end())?;
        }
        self.differences.iter().try_for_each(|d| writeln!(f, "{}", d.sentence()))
    }
}

impl Comparison {
    /// The table's lines as cells: a heading, then for each policy its values, intervals and deltas.
    fn lines(&self) -> Vec<Vec<String>> {
        let line = |name: String, row: &ComparisonRow, cell: &dyn Fn(&ComparisonCell) -> String| {
            let cells = row.cells.iter().map(|c| c.as_ref().map(cell).unwrap_or_default());
            std::iter::once(name).chain(cells).collect::<Vec<String>>()
        };
        let n = self.rows.first().map_or(0, |row| row.n);
        let titles = self.metrics.iter().map(|name| metric_title(name).to_owned());
        let mut lines: Vec<Vec<String>> =
            vec![std::iter::once(format!("held-out, n = {n}")).chain(titles).collect()];
        for row in &self.rows {
            let name = match row.policy_version {
                0 => label::display(&row.label),
                version => format!("{} (step {version})", label::display(&row.label)),
            };
            let interval = |cell: &ComparisonCell| {
                let text = |(low, high)| format!("{}\u{2013}{}", fixed(low), fixed(high));
                cell.interval.map(text).unwrap_or_default()
            };
            let delta = |cell: &ComparisonCell| cell.delta.map(signed).unwrap_or_default();
            lines.push(line(name, row, &|cell| fixed(cell.value)));
            lines.push(line("  95 % CI".to_owned(), row, &interval));
            lines.push(line("  vs base".to_owned(), row, &delta));
        }
        // A line with nothing but its name says nothing.
        lines.retain(|line| line.iter().skip(1).any(|cell| !cell.is_empty()));
        lines
    }
}

fn differences(run: &Run, rows: &[ComparisonRow], metric: &str) -> Vec<Difference> {
    let side = |label: &str| {
        let predictions = run.predictions.get(label).map_or(&[][..], Vec::as_slice);
        Some(Side { evaluation: newest(&run.evaluations, label)?, predictions })
    };
    use Kind::{Base, Constant, Reinforced, Supervised};
    let of = |kind| {
        let rows = rows.iter().filter(move |row: &&ComparisonRow| row.kind == kind);
        rows.map(|row| row.label.as_str()).filter(|label| label::is_of_whole_run(label))
    };
    [(Base, Supervised), (Base, Reinforced), (Supervised, Reinforced), (Constant, Reinforced)]
        .into_iter()
        .flat_map(|(from, to)| of(from).flat_map(move |from| of(to).map(move |to| (from, to))))
        .filter_map(|(from, to)| difference(&side(from)?, &side(to)?, metric))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comparison(lines: &str) -> Comparison {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("evaluations.jsonl"), lines).unwrap();
        super::comparison(dir.path()).unwrap()
    }

    #[test]
    fn the_table_shows_values_intervals_and_deltas() {
        let text = comparison(concat!(
            r#"{"label":"rft","policy_version":40,"n":160,"metrics":{"ap50":0.7,"miou":0.5612,"miou_ci_low":0.52,"miou_ci_high":0.6}}"#,
            "\n",
            r#"{"label":"base","policy_version":0,"n":160,"metrics":{"miou":0.4121,"miou_ci_low":0.37,"miou_ci_high":0.45,"ap50":0.4}}"#,
            "\n"
        ))
        .to_text();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].contains("n = 160") && lines[0].ends_with("AP50"), "{text}");
        assert!(lines[1].starts_with("base ") && lines[1].contains("0.412"), "{text}");
        assert!(lines[2].contains("0.370\u{2013}0.450"), "{text}");
        assert!(lines[3].starts_with("RFT (step 40)") && lines[3].contains("0.561"), "{text}");
        assert!(lines[5].contains("+0.149") && lines[5].contains("+0.300"), "{text}");
        assert!(lines[6].starts_with("RFT \u{2212} base: mIoU +0.149, 95 % CI +0.09"), "{text}");
        assert!(lines.iter().all(|line| line.chars().count() <= 80), "{text}");
    }

    #[test]
    fn a_run_without_evaluations_says_so() {
        assert_eq!(comparison("").to_text(), "no evaluation yet\n");
    }
}
