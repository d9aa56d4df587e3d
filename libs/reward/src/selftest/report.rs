//! What the self-test found: a table for people, fields for machines.

use std::fmt;

use serde::Serialize;

use crate::config::RewardMode;

/// The outcome of a self-test.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Name of the task that was tested.
    pub task: String,
    /// Mode of the reward, as in `reward.mode`.
    pub mode: RewardMode,
    /// True answers that were used.
    pub n: usize,
    /// Whether they were drawn by chance, since there was no data or none whose answers can be varied.
    pub drawn: bool,
    /// The checks that were made, one by one.
    pub checks: Vec<Check>,
}

/// One question that was put to the reward.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Check {
    /// Name of what was checked.
    pub name: String,
    /// Whether the check passed.
    pub passed: bool,
    /// What should be found.
    pub expected: String,
    /// The value that was found.
    pub got: f64,
    /// Anything else worth knowing.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub note: String,
}

impl Check {
    pub(super) fn new(name: impl Into<String>, passed: bool, expected: String, got: f64) -> Self {
        // A reward that is not a number is no reward.
        Self {
            name: name.into(),
            passed: passed && got.is_finite(),
            expected,
            got,
            note: String::new(),
        }
    }
}

impl Report {
    /// Whether every check holds.
    pub fn passed(&self) -> bool {
        self.checks.iter().all(|check| check.passed)
    }

    /// The names of the checks that do not hold.
    pub fn failures(&self) -> Vec<&str> {
        self.checks.iter().filter(|check| !check.passed).map(|check| check.name.as_str()).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let origin = if self.drawn { ", drawn by chance" } else { "" };
        writeln!(f, "{} (mode {}), {} true answers{origin}", self.task, self.mode.name(), self.n)?;
        if let Some(purpose) = self.mode.purpose() {
            writeln!(f, "  mode {}: {purpose}", self.mode.name())?;
        }
        for check in &self.checks {
            let verdict = if check.passed { "ok  " } else { "FAIL" };
            // Minus zero would puzzle.
            let got = check.got + 0.0;
            writeln!(
                f,
                "  {verdict}  {:<52} {got:>8.3}   expected {}",
                check.name, check.expected
            )?;
            if !check.note.is_empty() {
                writeln!(f, "        {}", check.note)?;
            }
        }
        let failed = self.failures().len();
        match failed {
            0 => write!(f, "  all {} checks hold", self.checks.len()),
            _ => write!(f, "  {failed} of {} checks FAIL", self.checks.len()),
        }
    }
}
