//! The files of a run folder, as far as they can be read.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use vrft_config::{ConfigError, Document};
use vrft_plan::{LearnerConfig, RolloutConfig, RunConfig};

use crate::ReportError;
use crate::best::{BestPolicy, best_policies};
use crate::data::{LOG, Said};
use crate::environment::Environment;
use crate::estimate::Estimate;
use crate::evaluation::Evaluation;
use crate::label::{self, Kind};
use crate::metrics::Metrics;
use crate::prediction::Prediction;
use crate::span::Span;
use crate::teams::{Team, Teams};

/// Everything that a run folder says about its run.
#[derive(Debug, Default)]
pub(crate) struct Run {
    pub(crate) dir: PathBuf,
    pub(crate) metrics: Metrics,
    pub(crate) evaluations: Vec<Evaluation>,
    /// What a policy would earn, where that is what the run was for.
    pub(crate) estimate: Option<Estimate>,
    /// Answers to the held-out samples by label, in the order of the file.
    pub(crate) predictions: BTreeMap<String, Vec<Prediction>>,
    pub(crate) spans: Vec<Span>,
    pub(crate) config_text: Option<String>,
    pub(crate) config: Option<Settings>,
    pub(crate) environment: Environment,
    pub(crate) teams: Teams,
    pub(crate) best: Vec<BestPolicy>,
    pub(crate) warnings: Vec<String>,
    /// Which rows were used and which were not.
    pub(crate) data: Vec<String>,
    /// Files with lines that could not be read, and how many.
    pub(crate) unreadable: Vec<(String, usize)>,
}

/// The settings that are told.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) run: RunConfig,
    pub(crate) learner: LearnerConfig,
    pub(crate) rollout: RolloutConfig,
    /// Of the sections of other crates, single values.
    pub(crate) document: Document,
}

impl Settings {
    fn parse(text: &str) -> Result<Self, ConfigError> {
        let document = Document::parse(text, "config.toml")?;
        Ok(Self {
            run: document.section()?,
            learner: document.section()?,
            rollout: document.section()?,
            document,
        })
    }
}

impl Run {
    /// Reads a run folder. Absent files and unreadable lines leave gaps; only a folder that is not there,
    /// or a file that the system refuses to read, is an error.
    pub(crate) fn load(dir: &Path) -> Result<Run, ReportError> {
        let mut run = Run::load_results(dir)?;
        run.metrics = Metrics::new(run.lines("metrics.jsonl")?);
        run.teams = run.teams.with_metrics(&run.metrics);
        run.spans = run.lines("spans.jsonl")?;
        run.spans.retain(|span| span.start.is_finite() && span.end > span.start);
        run.config_text = text(&dir.join("config.toml"))?;
        run.config = run.config_text.as_ref().and_then(|t| Settings::parse(t).ok());
        run.environment = Environment::parse(text(&dir.join("environment.json"))?);
        run.warnings = warnings(text(&dir.join("run.json"))?);
        let said = Said::of(&text(&dir.join(LOG))?.unwrap_or_default());
        run.warnings.extend(said.warnings);
        run.data = said.lines;
        Ok(run)
    }

    /// The evaluations and predictions alone: what a comparison needs.
    pub(crate) fn load_results(dir: &Path) -> Result<Run, ReportError> {
        if !dir.is_dir() {
            return Err(ReportError::NoRunFolder(dir.to_owned()));
        }
        let mut run = Run { dir: dir.to_owned(), ..Run::default() };
        run.evaluations = run.lines("evaluations.jsonl")?;
        run.estimate = Estimate::of(dir);
        run.best = best_policies(dir)?;
        for (label, file) in prediction_files(dir)? {
            let predictions = run.lines(&file)?;
            run.predictions.insert(label, predictions);
        }
        let members = text(&dir.join("nodes.json"))?.unwrap_or_default();
        let members = serde_json::from_str(&members).unwrap_or_default();
        run.teams = Teams::new(members, &Metrics::default());
        Ok(run)
    }

    /// What kind of policy a label stands for: by its learner's role, else by the label itself.
    pub(crate) fn kind_of(&self, label: &str) -> Kind {
        match self.team_of(label) {
            Some(team) if team.is_supervised => Kind::Supervised,
            Some(_) => Kind::Reinforced,
            None => label::kind(label),
        }
    }

    /// Color of a label's policy.
    pub(crate) fn class_of(&self, label: &str) -> &'static str {
        self.team_of(label).map_or_else(|| label::class(label), |team| team.class)
    }

    /// The learner behind a label; none for the base, which all learners start from.
    fn team_of(&self, label: &str) -> Option<&Team> {
        let mut evaluations = self.evaluations.iter().filter(|found| found.label == label);
        self.teams.of(evaluations.find_map(|found| found.learner.as_deref())?)
    }

    /// The records of a JSON Lines file. A run that was cut leaves a torn last line.
    fn lines<T: DeserializeOwned>(&mut self, name: &str) -> Result<Vec<T>, ReportError> {
        let Some(bytes) = bytes(&self.dir.join(name))? else { return Ok(Vec::new()) };
        let mut records = Vec::new();
        let mut n_unreadable = 0;
        for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty())
        {
            match serde_json::from_slice(line) {
                Ok(record) => records.push(record),
                Err(_) => n_unreadable += 1,
            }
        }
        if n_unreadable > 0 {
            self.unreadable.push((name.to_owned(), n_unreadable));
        }
        Ok(records)
    }
}

/// The bytes of a file; `None` when there is none.
pub(crate) fn bytes(path: &Path) -> Result<Option<Vec<u8>>, ReportError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ReportError::Read { path: path.to_owned(), source }),
    }
}

pub(crate) fn text(path: &Path) -> Result<Option<String>, ReportError> {
    Ok(bytes(path)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

/// Labels and names of the files with the predictions of each.
fn prediction_files(dir: &Path) -> Result<Vec<(String, String)>, ReportError> {
    let failed = |source| ReportError::Read { path: dir.to_owned(), source };
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
        let label = name.strip_prefix("predictions-").and_then(|n| n.strip_suffix(".jsonl"));
        files.extend(label.map(|label| (decoded(label), name.clone())));
    }
    files.sort();
    Ok(files)
}

/// What the launcher found before the run that a reader of its numbers should know.
fn warnings(text: Option<String>) -> Vec<String> {
    let origin = text.and_then(|text| serde_json::from_str::<serde_json::Value>(&text).ok());
    let warnings = origin.and_then(|mut origin| origin.get_mut("warnings").map(std::mem::take));
    warnings.and_then(|list| serde_json::from_value(list).ok()).unwrap_or_default()
}

/// A label from the name of its file, in which `%` and two hexadecimal digits stand for a byte.
fn decoded(name: &str) -> String {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).filter(|_| *first == b'%');
        let byte = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        match byte.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_last_line_is_counted_and_skipped() {
        let dir = tempfile::tempdir().unwrap();
        let lines = "{\"step\":1,\"name\":\"x\",\"value\":2.0,\"node\":\"a\"}\n{\"step\":2,\"name\":\"x\",\"va";
        fs::write(dir.path().join("metrics.jsonl"), lines).unwrap();
        let run = Run::load(dir.path()).unwrap();
        let team = run.teams.reinforced().next().unwrap();
        assert_eq!(run.metrics.curve(team, "x"), [(1.0, 2.0)]);
        assert_eq!(run.unreadable, [("metrics.jsonl".to_owned(), 1)]);
    }

    #[test]
    fn a_label_may_be_anything() {
        for (name, label) in
            [("rft@a%2Fb", "rft@a/b"), ("100%", "100%"), ("%zz", "%zz"), ("%C3%84", "\u{c4}")]
        {
            assert_eq!(decoded(name), label);
        }
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = Run::load(Path::new("nowhere")).unwrap_err().to_string();
        assert!(error.contains("nowhere"), "{error}");
    }
}
