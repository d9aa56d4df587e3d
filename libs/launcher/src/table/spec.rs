//! The section `[table]`: what a configuration is a row of, and what a paper reports for it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use vrft_config::{ConfigError, Section, require};
use vrft_report::PublishedNumber;

/// A row of a table. A run reads nothing of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct TableConfig {
    /// Heading; left out, the name of the run.
    pub(crate) title: String,
    /// Where the paper's numbers are from.
    pub(crate) source: String,
    /// Metrics by the evaluator's names, the paper's first; left out, the usual ones that were measured.
    pub(crate) metrics: Vec<String>,
    /// Whether numbers are written as percent.
    pub(crate) percent: bool,
    /// What a shot is: a row of each class (`data.shots_per_class`) or a row (`data.shots`).
    pub(crate) per: ShotsPer,
    /// Numbers of shots; none to learn from all rows, once.
    pub(crate) shots: Vec<usize>,
    /// Whether the policy that is started from says first what is on a picture, and base, SFT and RFT are asked for that
    /// alone.
    pub(crate) existence: bool,
    /// Learner steps for each number of shots; left out, `learner.steps` for all.
    pub(crate) steps: Vec<u64>,
    /// Numbers of the paper by method: one for each number of shots, or by numbers of shots; of `base`, and without shots,
    /// one.
    pub(crate) paper: BTreeMap<String, Numbers>,
    /// Other configurations whose held-out rows and rewards the policies are judged by as well: other domains, tasks that
    /// may be forgotten.
    pub(crate) also: Vec<PathBuf>,
    /// What differs from the paper or its program.
    pub(crate) remarks: Vec<String>,
}

/// What a shot is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ShotsPer {
    /// A row of each category or class.
    Class,
    /// A row.
    #[default]
    Row,
}

/// One number, one for each number of shots, or some by numbers of shots.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Numbers {
    One(f64),
    Each(Vec<f64>),
    By(BTreeMap<String, f64>),
}

impl ShotsPer {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Class => "class",
            Self::Row => "row",
        }
    }

    /// The key that counts shots so.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Class => "data.shots_per_class",
            Self::Row => "data.shots",
        }
    }
}

impl TableConfig {
    /// Learner steps at this number of shots, if it says.
    ///
    /// # Errors
    /// It says for other numbers of shots.
    pub(crate) fn steps(&self, shots: Option<usize>) -> Result<Option<u64>, String> {
        if self.steps.is_empty() {
            return Ok(None);
        }
        let place = self.shots.iter().position(|known| Some(*known) == shots);
        place.and_then(|place| self.steps.get(place).copied()).map(Some).ok_or_else(|| {
            format!(
                "table.steps has numbers for {:?} shots alone: for others say --set table.steps=[] and learner.steps",
                self.shots
            )
        })
    }

    /// The paper's numbers, each with its method and shots.
    pub(crate) fn published(&self) -> Vec<PublishedNumber> {
        let mut published = Vec::new();
        for (label, numbers) in &self.paper {
            let number = |shots, value| PublishedNumber { label: label.clone(), shots, value };
            match numbers {
                Numbers::One(value) => published.push(number(None, *value)),
                Numbers::Each(values) => {
                    let shots = self.shots.iter().map(|shots| Some(*shots));
                    published.extend(shots.zip(values).map(|(shots, value)| number(shots, *value)));
                }
                Numbers::By(values) => {
                    let of = |(shots, value): (&String, &f64)| number(shots.parse().ok(), *value);
                    published.extend(values.iter().map(of));
                }
            }
        }
        published
    }
}

impl Section for TableConfig {
    const NAME: &'static str = "table";

    fn check(&self) -> Result<(), ConfigError> {
        let n_shots = self.shots.len();
        require(
            !self.shots.contains(&0),
            "table.shots",
            0,
            "1 or more; left out, all rows are learned from",
        )?;
        let n_steps = self.steps.len();
        require(
            n_steps == 0 || n_steps == n_shots && !self.steps.contains(&0),
            "table.steps",
            format!("{:?}", self.steps),
            format!("{n_shots} numbers above 0, one for each of table.shots"),
        )?;
        for (label, numbers) in &self.paper {
            let key = format!("table.paper.{label}");
            let n = match numbers {
                Numbers::One(_) => continue,
                Numbers::Each(values) => values.len(),
                Numbers::By(values) => {
                    let is_number = |key: &&String| key.parse::<usize>().is_err();
                    let wrong = values.keys().find(is_number);
                    let got = wrong.cloned().unwrap_or_default();
                    require(wrong.is_none(), key, got, "numbers of shots")?;
                    continue;
                }
            };
            require(
                n == n_shots,
                key,
                n,
                format!("{n_shots} numbers, one for each of table.shots"),
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use vrft_config::Document;

    use super::*;

    fn read(text: &str) -> Result<TableConfig, ConfigError> {
        Document::parse(text, "test").unwrap().section()
    }

    #[test]
    fn numbers_of_a_paper_are_by_method_and_shots() {
        let text = "[table]\nshots = [1, 4]\nsteps = [7, 25]\npaper.base = 19.6\npaper.sft = [19.5, 25.2]\n\
                    paper.rft = { 4 = 40.6 }";
        let spec = read(text).unwrap();
        let number =
            |label: &str, shots, value| PublishedNumber { label: label.into(), shots, value };
        assert_eq!(
            spec.published(),
            [
                number("base", None, 19.6),
                number("rft", Some(4), 40.6),
                number("sft", Some(1), 19.5),
                number("sft", Some(4), 25.2),
            ]
        );
        assert_eq!((spec.steps(Some(4)), spec.steps(None).is_err()), (Ok(Some(25)), true));
        assert!(spec.steps(Some(2)).unwrap_err().contains("[1, 4] shots alone"));
    }

    #[test]
    fn a_number_too_few_is_refused() {
        let refused = |text: &str, key: &str| {
            let error = read(&format!("[table]\nshots = [1, 4]\n{text}")).unwrap_err().to_string();
            assert!(error.contains(key), "{error}");
        };
        refused("paper.sft = [1.0]", "table.paper.sft = 1");
        refused("paper.sft = { four = 1.0 }", "table.paper.sft = four");
        refused("steps = [3]", "table.steps");
        refused("stpes = [3]", "stpes");
    }
}
