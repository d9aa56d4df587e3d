//! A table in words: Markdown, and columns for a terminal.

use super::fit::MeetingShots;
use super::{EqualShots, PairedDifference, ResultCell, Results, ShotLine};
use crate::evaluation::metric_title;
use crate::label;

/// What stands where there is no number.
const NONE: &str = "\u{2013}";

/// What stands in place of an interval where all values are the same: how far others may be from it is not known.
const EQUAL: &str = "all equal";

impl Results {
    /// The table with its heading, differences and remarks as GitHub-flavored Markdown.
    pub fn to_markdown(&self) -> String {
        let head = &self.head;
        let mut text = format!("## {}\n\n", head.title);
        if !head.command.is_empty() {
            text += &format!("```sh\n{}\n```\n\n", head.command);
        }
        text += &markdown(&self.lines());
        if !self.differences.is_empty() {
            text += &format!("\n{}:\n\n", self.differences_title());
            text += &markdown(&self.difference_lines());
        }
        for (title, lines) in self.fit_lines() {
            text += &format!("\n{title}:\n\n{}", markdown(&lines));
        }
        for remark in &head.remarks {
            text += &format!("\n- {remark}");
        }
        if !head.remarks.is_empty() {
            text.push('\n');
        }
        text
    }

    /// The table for a terminal.
    pub fn to_text(&self) -> String {
        let differences = if self.differences.is_empty() {
            String::new()
        } else {
            format!("\n{}:\n{}", self.differences_title(), columns(&self.difference_lines()))
        };
        let fits = self.fit_lines().into_iter();
        let fits: String =
            fits.map(|(title, lines)| format!("\n{title}:\n{}", columns(&lines))).collect();
        format!("{}\n{}{differences}{fits}", self.head.title, columns(&self.lines()))
    }

    /// Title, heading and cells of what more shots are worth, and of RFT in shots of SFT; nothing where no line was fitted.
    pub(super) fn fit_lines(&self) -> Vec<(String, Vec<Vec<String>>)> {
        let Some(fits) = &self.fits else { return Vec::new() };
        let metric = self.head.metrics.first().map_or("", |name| metric_title(name));
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let mut lines =
            vec![words(&["method", "twice the shots add", "95 % CI", "misfit", "seeds"])];
        for ShotLine { label, doubling, half_width, misfit, n_seeds, .. } in
            fits.lines.iter().chain(&fits.gap)
        {
            let interval = match half_width {
                Some(half) => {
                    format!("{} to {}", self.signed(doubling - half), self.signed(doubling + half))
                }
                None if *n_seeds > 1 => format!("none: {EQUAL}"),
                None => NONE.to_owned(),
            };
            let (doubling, misfit) = (self.signed(*doubling), self.number(*misfit));
            lines.push(vec![
                label::display(label),
                doubling,
                interval,
                misfit,
                n_seeds.to_string(),
            ]);
        }
        let title = format!("A line through {metric} over the logarithm of the shots");
        let mut tables = vec![(title, lines)];
        if let Some(MeetingShots { shots, interval: (low, high) }) = &fits.meet {
            let cells = vec![format!("{shots:.1}"), format!("{low:.1} to {high:.1}")];
            tables.push((
                "Where the lines of RFT and SFT meet".to_owned(),
                vec![words(&["shots", "95 % CI"]), cells],
            ));
        }
        if !fits.equals.is_empty() {
            let mut lines = vec![words(&["RFT with shots", "SFT with shots", "95 % CI"])];
            for EqualShots { shots, equal, interval: (low, high) } in &fits.equals {
                let interval = format!("{low:.1} to {high:.1}");
                lines.push(vec![shots.to_string(), format!("{equal:.1}"), interval]);
            }
            tables.push(("As good as each other, by that line".to_owned(), lines));
        }
        tables
    }

    /// Heading and cells of the table.
    pub(super) fn lines(&self) -> Vec<Vec<String>> {
        let has_published = !self.head.published.is_empty();
        let mut head = vec!["method".to_owned(), self.shots_title()];
        head.extend(["seeds", "questions"].map(str::to_owned));
        for (idx, name) in self.head.metrics.iter().enumerate() {
            head.push(metric_title(name).to_owned());
            if idx == 0 && has_published {
                head.push("paper".to_owned());
            }
        }
        let mut lines = vec![head];
        for row in &self.rows {
            let shots = shots_text(row.shots, row.is_trained);
            let n_questions = row.n_questions.map_or(NONE.to_owned(), |n| n.to_string());
            let mut line = vec![label::display(&row.label), shots, row.seeds.len().to_string()];
            line.push(n_questions);
            for (idx, name) in self.head.metrics.iter().enumerate() {
                line.push(self.cell_text(row.metrics.get(name)));
                if idx == 0 && has_published {
                    let published = self.published(&row.label, row.shots);
                    line.push(published.map_or(NONE.to_owned(), |value| value.to_string()));
                }
            }
            lines.push(line);
        }
        lines
    }

    /// Heading and cells of the paired differences.
    pub(super) fn difference_lines(&self) -> Vec<Vec<String>> {
        let has_published = !self.head.published.is_empty();
        let mut head = vec!["difference".to_owned(), self.shots_title(), "ours".to_owned()];
        head.extend(["95 % CI", "pairs"].map(str::to_owned));
        if has_published {
            head.push("paper".to_owned());
        }
        let mut lines = vec![head];
        for one in &self.differences {
            let PairedDifference { from, to, shots, mean, interval, n, over } = one;
            let name = format!("{} \u{2212} {}", label::display(to), label::display(from));
            let interval = match interval {
                Some((low, high)) => format!("{} to {}", self.signed(*low), self.signed(*high)),
                None if *n > 1 => format!("none: {EQUAL}"),
                None => NONE.to_owned(),
            };
            let pairs = format!("{n} {}", if *n == 1 { over.trim_end_matches('s') } else { over });
            let shots_text = shots_text(*shots, true);
            let mut line = vec![name, shots_text, self.signed(*mean), interval, pairs];
            if has_published {
                let of = |label: &str| {
                    self.published(label, if label == "base" { None } else { *shots })
                };
                let published = of(to).zip(of(from)).map(|(to, from)| to - from);
                line.push(published.map_or(NONE.to_owned(), |d| minus(format!("{d:+.1}"))));
            }
            lines.push(line);
        }
        lines
    }

    pub(super) fn differences_title(&self) -> String {
        let metric = self.head.metrics.first().map_or("", |name| metric_title(name));
        format!("Differences of {metric} at the same shots")
    }

    fn shots_title(&self) -> String {
        match self.head.shots_per.as_str() {
            "class" => "shots a class".to_owned(),
            _ => "shots".to_owned(),
        }
    }

    fn cell_text(&self, cell: Option<&ResultCell>) -> String {
        match cell {
            None => NONE.to_owned(),
            Some(ResultCell { mean, half_width: None, n }) if *n > 1 => {
                format!("{} ({EQUAL})", self.number(*mean))
            }
            Some(ResultCell { mean, half_width: None, .. }) => self.number(*mean),
            Some(ResultCell { mean, half_width: Some(half), .. }) => {
                format!("{} \u{b1} {}", self.number(*mean), self.number(*half))
            }
        }
    }

    fn number(&self, value: f64) -> String {
        minus(if self.head.is_percent {
            format!("{:.1}", 100.0 * value)
        } else {
            format!("{value:.3}")
        })
    }

    fn signed(&self, value: f64) -> String {
        minus(if self.head.is_percent {
            format!("{:+.1}", 100.0 * value)
        } else {
            format!("{value:+.3}")
        })
    }
}

fn shots_text(shots: Option<usize>, is_trained: bool) -> String {
    match shots {
        Some(shots) => shots.to_string(),
        None if is_trained => "all".to_owned(),
        None => NONE.to_owned(),
    }
}

fn minus(text: String) -> String {
    text.replace('-', "\u{2212}")
}

/// Lines, the first of them the heading, as a table of Markdown.
fn markdown(lines: &[Vec<String>]) -> String {
    let mut text = String::new();
    for (idx, line) in lines.iter().enumerate() {
        let cells: Vec<String> = line.iter().map(|cell| cell.replace('|', "\\|")).collect();
        text += &format!("| {} |\n", cells.join(" | "));
        if idx == 0 {
            text += &format!("|---|{}\n", "---:|".repeat(line.len() - 1));
        }
    }
    text
}

/// Lines in columns, the first flush left.
fn columns(lines: &[Vec<String>]) -> String {
    let n_columns = lines.first().map_or(0, Vec::len);
    let width = |i: usize| lines.iter().map(|line| line[i].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..n_columns).map(width).collect();
    let mut text = String::new();
    for line in lines {
        let mut row = format!("{:<width$}", line[0], width = widths[0]);
        for (cell, width) in line.iter().zip(&widths).skip(1) {
            row += &format!("  {cell:>width$}");
        }
        text += row.trim_end();
        text.push('\n');
    }
    text
}
