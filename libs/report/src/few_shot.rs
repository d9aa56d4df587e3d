//! Many runs in one table: methods against the number of training samples, mean and spread over seeds.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::chart::{Line, LineChart, LineStyle};
use crate::evaluation::metric_title;
use crate::html::escape;
use crate::number::fixed;
use crate::page::{CHART_CSS, write};
use crate::student::mean_interval;
use crate::{ReportError, label};

/// The result of one run: a method, a number of training samples, a seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FewShotRun {
    /// Training samples; 0 for a policy that was not trained.
    pub shots: usize,
    /// Seed of the run.
    pub seed: u64,
    /// `base`, `sft` or `rft`.
    pub label: String,
    /// Held-out metrics by name.
    pub metrics: BTreeMap<String, f64>,
}

/// Runs grouped by method and shots. Serializes to the JSON of [`FewShotTable::to_json`].
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct FewShotTable {
    /// The metrics, the plotted one first.
    pub metrics: Vec<String>,
    /// Base, SFT, RFT; within a method by shots.
    pub rows: Vec<FewShotRow>,
}

/// One method at one number of shots.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FewShotRow {
    /// `base`, `sft` or `rft`.
    pub label: String,
    /// Number of training samples of the run.
    pub shots: usize,
    /// Seeds of the runs, each once.
    pub seeds: Vec<u64>,
    /// By metric; a metric that no run has is absent.
    pub metrics: BTreeMap<String, FewShotCell>,
}

/// A metric over seeds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct FewShotCell {
    /// Mean over the runs.
    pub mean: f64,
    /// Half the width of the 95 % confidence interval (Student's t); `None` for a single run.
    pub half_width: Option<f64>,
    /// Runs with this metric.
    pub n: usize,
}

impl FewShotTable {
    /// Groups the runs. Of a run that is given twice (same method, shots and seed) the later counts.
    ///
    /// `metrics` names the columns; the first is plotted. Values that are not finite are left out.
    pub fn new(runs: &[FewShotRun], metrics: &[&str]) -> FewShotTable {
        let mut groups: BTreeMap<(usize, &str, usize), BTreeMap<u64, &FewShotRun>> =
            BTreeMap::new();
        for run in runs {
            let key = (label::rank(&run.label), run.label.as_str(), run.shots);
            groups.entry(key).or_default().insert(run.seed, run);
        }
        let row =
            |((_, label, shots), runs): ((usize, &str, usize), BTreeMap<u64, &FewShotRun>)| {
                let cell = |name: &&str| Some(((*name).to_owned(), cell(runs.values(), name)?));
                FewShotRow {
                    label: label.to_owned(),
                    shots,
                    seeds: runs.keys().copied().collect(),
                    metrics: metrics.iter().filter_map(cell).collect(),
                }
            };
        let rows = groups.into_iter().map(row).collect();
        FewShotTable { metrics: metrics.iter().map(ToString::to_string).collect(), rows }
    }

    /// A GitHub-flavored Markdown table.
    pub fn to_markdown(&self) -> String {
        let lines = self.lines();
        let mut text = String::new();
        for (i, line) in lines.iter().enumerate() {
            let cells: Vec<String> = line.iter().map(|cell| cell.replace('|', "\\|")).collect();
            text += &format!("| {} |\n", cells.join(" | "));
            if i == 0 {
                text += &format!("|---|{}\n", "---:|".repeat(line.len() - 1));
            }
        }
        text
    }

    /// The table for a terminal.
    pub fn to_text(&self) -> String {
        let lines = self.lines();
        let n_columns = lines.first().map_or(0, Vec::len);
        let width = |i: usize| lines.iter().map(|line| line[i].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..n_columns).map(width).collect();
        let mut text = String::new();
        for line in &lines {
            let mut row = format!("{:<width$}", line[0], width = widths[0]);
            for (cell, width) in line.iter().zip(&widths).skip(1) {
                row += &format!("  {cell:>width$}");
            }
            text += row.trim_end();
            text.push('\n');
        }
        text
    }

    /// All numbers of the table as JSON, unrounded.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a table of names and numbers is JSON")
    }

    /// The first metric over shots as an SVG file of its own; `None` without a number.
    ///
    /// Shots are evenly spaced: they usually double. A method without training is a dashed level.
    pub fn to_svg(&self) -> Option<String> {
        let metric = self.metrics.first()?;
        let shots: BTreeSet<usize> =
            self.rows.iter().map(|row| row.shots).filter(|s| *s > 0).collect();
        let shots: Vec<usize> = shots.into_iter().collect();
        let names: Vec<String> = shots.iter().map(ToString::to_string).collect();
        let labels = label::ordered(self.rows.iter().map(|row| row.label.as_str()));
        let mut lines: Vec<Line> =
            labels.iter().map(|label| self.line(label, metric, &shots)).collect();
        spread(&mut lines);
        let chart = LineChart {
            title: "Few-shot",
            note: "",
            x_title: "training samples",
            x_names: (!names.is_empty()).then_some(&names),
            lines,
        };
        let plot = chart.svg(560.0, 300.0)?;
        Some(standalone(&plot, metric, &chart.lines))
    }

    /// Writes `few_shot.md`, `few_shot.txt`, `few_shot.json` and `few_shot.svg` into a folder.
    pub fn write(&self, dir: &Path) -> Result<(), ReportError> {
        write(&dir.join("few_shot.md"), &self.to_markdown())?;
        write(&dir.join("few_shot.txt"), &self.to_text())?;
        write(&dir.join("few_shot.json"), &self.to_json())?;
        match self.to_svg() {
            Some(svg) => write(&dir.join("few_shot.svg"), &svg),
            None => Ok(()),
        }
    }

    fn lines(&self) -> Vec<Vec<String>> {
        let head = ["method", "shots", "seeds"].map(str::to_owned).into_iter();
        let titles = self.metrics.iter().map(|name| metric_title(name).to_owned());
        let mut lines: Vec<Vec<String>> = vec![head.chain(titles).collect()];
        for row in &self.rows {
            let counts = [row.shots.to_string(), row.seeds.len().to_string()];
            let cells = self.metrics.iter().map(|name| text(row.metrics.get(name)));
            let name = std::iter::once(label::display(&row.label));
            lines.push(name.chain(counts).chain(cells).collect());
        }
        lines
    }

    fn line(&self, name: &str, metric: &str, shots: &[usize]) -> Line {
        let rows = self.rows.iter().filter(|row| row.label == name);
        let cells: Vec<(f64, FewShotCell)> = rows
            .filter_map(|row| {
                let place = shots.iter().position(|shots| *shots == row.shots).unwrap_or(0);
                Some((place as f64, *row.metrics.get(metric)?))
            })
            .collect();
        let untrained = self.rows.iter().filter(|row| row.label == name).all(|row| row.shots == 0);
        let interval = |(x, cell): &(f64, FewShotCell)| {
            let half = cell.half_width?;
            Some((*x, cell.mean - half, cell.mean + half))
        };
        Line {
            style: if untrained { LineStyle::Level } else { LineStyle::Marked },
            intervals: cells.iter().filter_map(interval).collect(),
            ..Line::curve(
                &label::display(name),
                label::class(name),
                cells.iter().map(|(x, cell)| (*x, cell.mean)).collect(),
            )
        }
    }
}

/// Moves the methods a little to the left and right, so that no interval covers another.
fn spread(lines: &mut [Line]) {
    let mut trained: Vec<&mut Line> =
        lines.iter_mut().filter(|line| line.style == LineStyle::Marked).collect();
    let middle = (trained.len() as f64 - 1.0) / 2.0;
    for (i, line) in trained.iter_mut().enumerate() {
        let shift = 0.07 * (i as f64 - middle);
        line.points.iter_mut().for_each(|(x, _)| *x += shift);
        line.intervals.iter_mut().for_each(|(x, _, _)| *x += shift);
    }
}

fn cell<'a>(runs: impl Iterator<Item = &'a &'a FewShotRun>, metric: &str) -> Option<FewShotCell> {
    let values: Vec<f64> =
        runs.filter_map(|run| run.metrics.get(metric)).copied().filter(|v| v.is_finite()).collect();
    let (mean, half_width) = mean_interval(&values)?;
    Some(FewShotCell { mean, half_width, n: values.len() })
}

fn text(cell: Option<&FewShotCell>) -> String {
    match cell {
        None => "\u{2013}".to_owned(),
        Some(FewShotCell { mean, half_width: None, .. }) => fixed(*mean),
        Some(FewShotCell { mean, half_width: Some(half), .. }) => {
            format!("{} \u{b1} {}", fixed(*mean), fixed(*half))
        }
    }
}

/// A drawing with its own style, heading and legend, so that it can be shown on any page.
fn standalone(plot: &str, metric: &str, lines: &[Line]) -> String {
    let mut legend = String::new();
    let mut x = 4.0;
    for line in lines.iter().filter(|line| !line.points.is_empty()) {
        let name = escape(&line.name);
        legend += &format!(
            "<g class=\"{}\"><circle class=\"dot\" cx=\"{:.0}\" cy=\"40\" r=\"6\"/></g><text class=\"row\" x=\"{:.0}\" y=\"44\">{name}</text>",
            line.class,
            x + 6.0,
            x + 17.0,
        );
        x += 40.0 + 8.0 * line.name.chars().count() as f64;
    }
    let plot = plot.replacen("<svg ", "<svg x=\"0\" y=\"56\" width=\"560\" height=\"300\" ", 1);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"plot\" viewBox=\"0 0 560 360\" width=\"560\" height=\"360\">\n<style>{CHART_CSS}.plot{{width:auto}}</style>\n<text class=\"value\" x=\"4\" y=\"18\" style=\"font-size:15px\">Held-out {} by number of training samples</text><text class=\"tick\" x=\"556\" y=\"44\" text-anchor=\"end\">mean, bars: 95 % confidence over seeds</text>\n{legend}\n{plot}\n</svg>\n",
        escape(metric_title(metric)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(label: &str, shots: usize, seed: u64, miou: f64) -> FewShotRun {
        let metrics = BTreeMap::from([("miou".to_owned(), miou)]);
        FewShotRun { shots, seed, label: label.to_owned(), metrics }
    }

    fn table() -> FewShotTable {
        let runs = [
            run("rft", 16, 0, 0.50),
            run("rft", 16, 1, 0.54),
            run("rft", 16, 2, 0.58),
            run("rft", 4, 0, 0.45),
            run("base", 0, 0, 0.40),
            run("rft", 16, 2, 0.58),
        ];
        FewShotTable::new(&runs, &["miou", "ap50"])
    }

    /* Half width of 0.50, 0.54, 0.58: 4.302653 * 0.04 / sqrt(3) = 0.099366 */
    #[test]
    fn rows_have_mean_and_interval_over_seeds() {
        let lines: Vec<String> = table().to_markdown().lines().map(str::to_owned).collect();
        assert_eq!(lines[0], "| method | shots | seeds | mIoU | AP50 |");
        assert_eq!(lines[1], "|---|---:|---:|---:|---:|");
        assert_eq!(lines[2], "| base | 0 | 1 | 0.400 | \u{2013} |");
        assert_eq!(lines[3], "| RFT | 4 | 1 | 0.450 | \u{2013} |");
        assert_eq!(lines[4], "| RFT | 16 | 3 | 0.540 \u{b1} 0.099 | \u{2013} |");
    }

    #[test]
    fn text_and_json_hold_the_same_rows() {
        assert!(table().to_text().contains("RFT        16      3  0.540 \u{b1} 0.099"));
        let json: serde_json::Value = serde_json::from_str(&table().to_json()).unwrap();
        assert_eq!(json["rows"][2]["metrics"]["miou"]["n"], 3);
        assert_eq!(json["rows"][0]["metrics"]["miou"]["half_width"], serde_json::Value::Null);
    }

    #[test]
    fn the_plot_is_a_file_of_its_own() {
        let svg = table().to_svg().unwrap();
        assert!(svg.starts_with("<svg xmlns=") && svg.contains("training samples"));
        let unquoted = svg.split('<').filter(|tag| !tag.starts_with("style")).any(|tag| {
            tag.split('>').next().is_some_and(|tag| tag.replace("=\"", "").contains('='))
        });
        assert!(!unquoted, "{svg}");
        assert_eq!(FewShotTable::default().to_svg(), None);
    }
}
