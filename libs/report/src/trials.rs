//! What `vrft tune` tried, as a page, as Markdown and as JSON.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Serialize;

use crate::ReportError;
use crate::evaluation::metric_title;
use crate::html::escape;
use crate::number::{fixed, signed};
use crate::page::{document, write};

/// What stands where there is no number.
const NONE: &str = "\u{2013}";

/// All trials, and which of them is chosen.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Tuning {
    /// Heading: the name of the configuration.
    pub title: String,
    /// The command that made it.
    pub command: String,
    /// The evaluator's name of the measure that is chosen by.
    pub metric: String,
    /// The rows that are chosen on.
    pub judged_on: String,
    /// What the policy that all start from is worth by it.
    pub base: Option<f64>,
    /// The trials; the first has the configuration as it is.
    pub trials: Vec<TrialRow>,
    /// Index of the best trial, see [`Tuning::choose`].
    pub chosen: usize,
}

/// One combination of settings.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct TrialRow {
    /// Values by key; a key that is absent is as configured.
    pub settings: BTreeMap<String, String>,
    /// What came of it, by rising numbers of steps.
    pub rungs: Vec<Rung>,
}

/// A trial at one number of steps.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Rung {
    /// Learner steps of the run.
    pub steps: u64,
    /// The measure; `None` where the run was ended early.
    pub value: Option<f64>,
    /// Its 95 % confidence interval, where there is one.
    pub interval: Option<(f64, f64)>,
    /// Why it was ended early.
    pub ended: Option<String>,
}

impl Tuning {
    /// Chooses the best trial of those that went furthest; the earlier one of equals, so that settings are changed for a
    /// reason.
    pub fn choose(&mut self) {
        let furthest = self.trials.iter().filter_map(|trial| trial.reached()).max();
        let value = |trial: &TrialRow| {
            let rung = trial.rungs.iter().find(|rung| Some(rung.steps) == furthest);
            rung.and_then(|rung| rung.value)
        };
        let mut best: Option<(usize, f64)> = None;
        for (idx, trial) in self.trials.iter().enumerate() {
            if let Some(value) = value(trial)
                && best.is_none_or(|(_, highest)| value > highest)
            {
                best = Some((idx, value));
            }
        }
        self.chosen = best.map_or(0, |(idx, _)| idx);
    }

    /// The trials that go on after a rung: the best `n`, and the configuration as it is, for comparison, unless it was
    /// ended.
    pub fn promoted(&self, steps: u64, n: usize) -> Vec<usize> {
        let value = |trial: &TrialRow| {
            trial.rungs.iter().find(|rung| rung.steps == steps).and_then(|rung| rung.value)
        };
        let others = self.trials.iter().enumerate().skip(1);
        let mut ranked: Vec<(usize, f64)> =
            others.filter_map(|(idx, trial)| Some((idx, value(trial)?))).collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        ranked.truncate(n);
        let as_it_is = self.trials.first().and_then(value).map(|_| 0);
        let mut promoted: Vec<usize> =
            as_it_is.into_iter().chain(ranked.into_iter().map(|(idx, _)| idx)).collect();
        promoted.sort_unstable();
        promoted
    }

    /// The choice in a sentence or two, beside the configuration as it is.
    pub fn conclusion(&self) -> String {
        let Some(best) = self.trials.get(self.chosen) else { return String::new() };
        let Some((&Rung { steps, interval, .. }, value)) = best.last() else {
            return "No trial has come to its end.".to_owned();
        };
        let metric = metric_title(&self.metric);
        let spread = |interval: Option<(f64, f64)>| {
            let text = |(low, high)| format!(" (95 % CI {}\u{2013}{})", fixed(low), fixed(high));
            interval.map(text).unwrap_or_default()
        };
        let found = format!("{metric} {}{} after {steps} steps", fixed(value), spread(interval));
        if self.chosen == 0 {
            return format!("Nothing tried is better than the configuration as it is: {found}.");
        }
        let before = self.trials[0].rungs.iter().find(|rung| rung.steps == steps);
        let Some(before) = before.and_then(|rung| Some((rung.value?, rung.interval))) else {
            return format!(
                "Trial {}: {found}. The configuration as it is was ended early.",
                self.chosen
            );
        };
        let overlap = interval.zip(before.1).is_some_and(|(now, then)| now.0 <= then.1);
        let doubt = if overlap { " The intervals overlap: confirm it on other seeds." } else { "" };
        format!(
            "Trial {}: {found}, {} beside the configuration as it is, {}{}.{doubt}",
            self.chosen,
            signed(value - before.0),
            fixed(before.0),
            spread(before.1)
        )
    }

    /// Heading, table and conclusion as GitHub-flavored Markdown.
    pub fn to_markdown(&self) -> String {
        let mut text = format!("## Tuning of {}\n\n", self.title);
        if !self.command.is_empty() {
            text += &format!("```sh\n{}\n```\n\n", self.command);
        }
        let lines = self.lines();
        for (idx, line) in lines.iter().enumerate() {
            text += &format!("| {} |\n", line.join(" | "));
            if idx == 0 {
                text += &format!("|{}\n", "---|".repeat(line.len()));
            }
        }
        text + &format!("\n{}\n\n{}\n", self.conclusion(), self.note())
    }

    /// What the numbers are, and what they are not.
    fn note(&self) -> String {
        let base = self.base.map_or(String::new(), |base| {
            format!(" The policy that all start from: {}.", fixed(base))
        });
        format!(
            "{} on {}, which decides here, and should be neither learned from nor reported on (`vrft check` tells).{base} The \
             best of several is too high by its luck: what it is worth is what a run with its settings gets on the held-out \
             data.",
            metric_title(&self.metric),
            self.judged_on
        )
    }

    fn lines(&self) -> Vec<Vec<String>> {
        let keys: BTreeSet<&String> = self.trials.iter().flat_map(|t| t.settings.keys()).collect();
        let steps: BTreeSet<u64> =
            self.trials.iter().flat_map(|t| t.rungs.iter().map(|rung| rung.steps)).collect();
        let mut head = vec!["trial".to_owned()];
        head.extend(keys.iter().map(|key| (*key).clone()));
        head.extend(steps.iter().map(|steps| format!("{steps} steps")));
        let mut lines = vec![head];
        for (idx, trial) in self.trials.iter().enumerate() {
            let mark = if idx == self.chosen && trial.last().is_some() { " (best)" } else { "" };
            let mut line = vec![format!("{idx}{mark}")];
            let as_it_is = || "as configured".to_owned();
            line.extend(
                keys.iter().map(|key| trial.settings.get(*key).cloned().unwrap_or_else(as_it_is)),
            );
            line.extend(steps.iter().map(|steps| {
                let rung = trial.rungs.iter().find(|rung| rung.steps == *steps);
                rung.map_or(NONE.to_owned(), Rung::text)
            }));
            lines.push(line);
        }
        lines
    }

    fn page(&self) -> String {
        let cells = |line: &Vec<String>, tag: &str| -> String {
            line.iter().map(|cell| format!("<{tag}>{}</{tag}>", escape(cell))).collect()
        };
        let lines = self.lines();
        let head = lines.first().map_or(String::new(), |line| cells(line, "th"));
        let rows: String =
            lines.iter().skip(1).map(|line| format!("<tr>{}</tr>\n", cells(line, "td"))).collect();
        let title = format!("Tuning of {}", escape(&self.title));
        let conclusion = escape(&self.conclusion());
        let header = format!("<p class=run><span>{title}</span></p><h1>{conclusion}</h1>");
        let main = format!(
            "<section><p class=intro><code>{}</code></p>
<div class=scroll><table>
<thead><tr>{head}</tr></thead>
<tbody>
{rows}</tbody></table></div>
<p class=intro>{}</p></section>
",
            escape(&self.command),
            escape(&self.note())
        );
        document(&title, "", &header, &main, ". This page is complete in itself.")
    }
}

impl TrialRow {
    /// Steps of the last rung that it finished.
    fn reached(&self) -> Option<u64> {
        self.last().map(|(rung, _)| rung.steps)
    }

    /// The last rung that it finished, with its value.
    fn last(&self) -> Option<(&Rung, f64)> {
        let finished = self.rungs.iter().filter_map(|rung| Some((rung, rung.value?)));
        finished.max_by_key(|(rung, _)| rung.steps)
    }
}

impl Rung {
    fn text(&self) -> String {
        match (self.value, self.interval, &self.ended) {
            (Some(value), Some((low, high)), _) => {
                format!("{} ({}\u{2013}{})", fixed(value), fixed(low), fixed(high))
            }
            (Some(value), None, _) => fixed(value),
            (None, _, Some(why)) => format!("ended: {why}"),
            (None, _, None) => NONE.to_owned(),
        }
    }
}

/// Writes `tune.md`, `tune.json` and `tune.html` into a folder, each whole or not at all.
///
/// # Errors
/// A file that cannot be written.
pub fn write_tuning(tuning: &Tuning, folder: &Path) -> Result<(), ReportError> {
    let json = serde_json::to_string_pretty(tuning).unwrap_or_default();
    write(&folder.join("tune.json"), &json)?;
    write(&folder.join("tune.md"), &tuning.to_markdown())?;
    write(&folder.join("tune.html"), &tuning.page())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rung(steps: u64, value: f64) -> Rung {
        let interval = Some((value - 0.05, value + 0.05));
        Rung { steps, value: Some(value), interval, ended: None }
    }
    fn trial(rate: &str, rungs: Vec<Rung>) -> TrialRow {
        let settings = [("optimizer.learning_rate".to_owned(), rate.to_owned())];
        let settings = if rate.is_empty() { BTreeMap::new() } else { settings.into() };
        TrialRow { settings, rungs }
    }
    fn tuning() -> Tuning {
        let ended = Rung { steps: 6, ended: Some("KL <9>".into()), ..Rung::default() };
        let mut tuning = Tuning {
            title: "count".into(),
            command: "vrft tune".into(),
            metric: "accuracy".into(),
            judged_on: "rows.jsonl".into(),
            base: Some(0.3),
            trials: vec![
                trial("", vec![rung(6, 0.35), rung(18, 0.40)]),
                trial("1e-6", vec![rung(6, 0.31)]),
                trial("1e-5", vec![rung(6, 0.38), rung(18, 0.44)]),
                trial("1e-3", vec![ended]),
            ],
            chosen: 0,
        };
        tuning.choose();
        tuning
    }

    #[test]
    fn the_best_of_those_that_went_furthest_is_chosen() {
        let mut tuning = tuning();
        assert_eq!(tuning.chosen, 2);
        let conclusion = tuning.conclusion();
        for words in [
            "Trial 2: accuracy 0.440 (95 % CI 0.390\u{2013}0.490) after 18 steps, +0.040",
            "overlap",
        ] {
            assert!(conclusion.contains(words), "{conclusion}");
        }
        // Equal is no reason to change anything, and a high value of a short trial is none either.
        tuning.trials[2].rungs[1].value = Some(0.40);
        tuning.trials[1].rungs[0].value = Some(0.99);
        tuning.choose();
        assert_eq!(tuning.chosen, 0);
        assert!(
            tuning.conclusion().starts_with("Nothing tried is better"),
            "{}",
            tuning.conclusion()
        );
    }

    #[test]
    fn the_best_go_on_with_the_configuration_as_it_is() {
        let tuning = tuning();
        assert_eq!(tuning.promoted(6, 1), [0, 2]);
        assert_eq!(tuning.promoted(6, 9), [0, 1, 2]);
    }

    #[test]
    fn page_and_markdown_say_what_was_tried_and_why_it_ended() {
        let folder = tempfile::tempdir().unwrap();
        write_tuning(&tuning(), folder.path()).unwrap();
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        let markdown = read("tune.md");
        assert!(
            markdown.contains("| 2 (best) | 1e-5 | 0.380 (0.330\u{2013}0.430) |"),
            "{markdown}"
        );
        assert!(markdown.contains("| 0 | as configured |"), "{markdown}");
        assert!(markdown.contains("ended: KL <9>"), "{markdown}");
        let page = read("tune.html");
        assert!(
            page.contains("ended: KL &lt;9&gt;") && page.contains("be neither learned from"),
            "{page}"
        );
        let json: serde_json::Value = serde_json::from_str(&read("tune.json")).unwrap();
        assert_eq!(
            (&json["chosen"], &json["trials"][3]["rungs"][0]["value"]),
            (&2.into(), &serde_json::Value::Null)
        );
    }
}
