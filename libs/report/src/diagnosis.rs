//! What a run's numbers say is wrong with it: the signs of a run that cannot learn, with likely cause and remedy.
//!
//! Pure: from the metrics of the steps so far to verdicts. The monitor asks after each step, the report and
//! `vrft doctor` when the run is over. A verdict that another one explains is left out: where every completion is cut
//! off, that no answer earns anything is no news.

mod facts;
mod signs;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use crate::ReportError;
use crate::load::Run;

/// What is wrong. In the order in which one explains another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Problem {
    /// The policy has left everything that it could do.
    Diverged,
    /// Nearly all completions are cut at the longest length allowed.
    Truncated,
    /// No completion has the form that is paid for.
    NoFormat,
    /// No answer is right, not even in part.
    NothingRight,
    /// In every group all completions earn the same: there is nothing to prefer.
    NoSignal,
    /// The policy always says the same.
    EntropyCollapsed,
    /// The graph gives the policy tools, and it calls none.
    NoCalls,
    /// The reward has not risen over a long stretch of the run.
    RewardFlat,
}

/// One thing that is wrong with a run, in words for who started it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The problem that was found.
    pub problem: Problem,
    /// First step of the unbroken stretch in which it is so.
    pub since: u64,
    /// What the numbers say.
    pub sign: String,
    /// What the reason may be.
    pub cause: String,
    /// What to do about the problem.
    pub remedy: String,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { since, sign, cause, remedy, .. } = self;
        write!(f, "{sign} (since step {since}). Likely cause: {cause}. Remedy: {remedy}.")
    }
}

/// What is known of a run besides its numbers. Without a configuration nothing is, and verdicts are less specific.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunFacts {
    /// Steps that the run is to have; 0 if unknown.
    pub n_steps: u64,
    /// The longest completion allowed, in tokens.
    pub max_completion_tokens: Option<usize>,
    /// Peak learning rate of the run.
    pub learning_rate: Option<f64>,
    /// Global norm that gradients are scaled down to; 0 for no bound.
    pub max_grad_norm: Option<f64>,
    /// Temperature of the sampling.
    pub temperature: Option<f64>,
    /// Weight of the KL to the reference policy.
    pub kl_coef: Option<f64>,
    /// Whether the declared task adds to each question what an answer looks like.
    pub instructs: Option<bool>,
    /// Space that the declared task reads coordinates in, as the configuration names it; `None` if answers have none.
    pub space: Option<String>,
    /// The parts of the reward.
    pub terms: Vec<TermFacts>,
}

/// A part of the reward.
#[derive(Debug, Clone, PartialEq)]
pub struct TermFacts {
    /// As the task calls it: its mean is the metric `reward/<name>/mean`.
    pub name: String,
    /// What it says.
    pub role: TermRole,
    /// What it is multiplied with in the reward.
    pub weight: f64,
}

/// What a part of the reward says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TermRole {
    /// How right the answer is.
    Accuracy,
    /// Whether the completion has the declared form.
    Format,
    /// Anything else, such as length or confidence.
    Other,
}

/// The numbers of a run by name and step. A number that is not finite is kept: it is a sign itself.
#[derive(Debug, Clone, Default)]
pub struct History {
    series: BTreeMap<String, BTreeMap<u64, f64>>,
}

impl History {
    /// Takes in a number; of a step that was repeated after a resume the last one counts.
    pub fn record(&mut self, step: u64, name: &str, value: f64) {
        match self.series.get_mut(name) {
            Some(series) => _ = series.insert(step, value),
            None => _ = self.series.insert(name.to_owned(), BTreeMap::from([(step, value)])),
        }
    }

    /// A series in the order of its steps; empty if there is none of that name.
    fn series(&self, name: &str) -> impl DoubleEndedIterator<Item = (u64, f64)> + Clone + '_ {
        self.series.get(name).into_iter().flatten().map(|(step, value)| (*step, *value))
    }
}

/// Everything that is wrong with a run so far, what explains other things first.
pub fn diagnose(history: &History, facts: &RunFacts) -> Vec<Verdict> {
    let signs: [fn(&History, &RunFacts) -> Option<Verdict>; 8] = [
        signs::diverged,
        signs::truncated,
        signs::no_format,
        signs::nothing_right,
        signs::no_signal,
        signs::entropy_collapsed,
        signs::no_calls,
        signs::reward_flat,
    ];
    let mut verdicts: Vec<Verdict> = Vec::new();
    for verdict in signs.into_iter().filter_map(|sign| sign(history, facts)) {
        if !verdicts.iter().any(|earlier| earlier.problem.explains(verdict.problem)) {
            verdicts.push(verdict);
        }
    }
    verdicts
}

/// Everything that the numbers in a run folder say is wrong with its run.
///
/// # Errors
/// A folder that is not there, or a file that the system refuses to read.
pub fn diagnose_run(run_dir: &Path) -> Result<Vec<Verdict>, ReportError> {
    Ok(of_run(&Run::load(run_dir)?))
}

pub(crate) fn of_run(run: &Run) -> Vec<Verdict> {
    let facts = run.config.as_ref().map(|config| RunFacts::of(&config.document));
    let facts = facts.unwrap_or_default();
    let mut verdicts = Vec::new();
    for team in run.teams.told() {
        let of_team = diagnose(&run.metrics.history(team), &facts);
        verdicts
            .extend(of_team.into_iter().filter(|new| !verdicts.contains(new)).collect::<Vec<_>>());
    }
    verdicts
}

impl Problem {
    /// Whether another problem is to be expected where this one is.
    fn explains(self, other: Self) -> bool {
        match self {
            Self::Diverged => true,
            // A policy may be cut off and say the same thing again and again.
            Self::Truncated => other != Self::EntropyCollapsed,
            Self::NoFormat => {
                matches!(other, Self::NothingRight | Self::NoSignal | Self::RewardFlat)
            }
            Self::NothingRight => matches!(other, Self::NoSignal | Self::RewardFlat),
            Self::NoSignal => other == Self::RewardFlat,
            Self::EntropyCollapsed | Self::NoCalls | Self::RewardFlat => false,
        }
    }
}

/// Follows a run and tells each problem once, when it starts.
#[derive(Debug, Default)]
pub struct Watch {
    history: History,
    told: BTreeSet<Problem>,
}

impl Watch {
    /// Takes in a number, as [`History::record`].
    pub fn record(&mut self, step: u64, name: &str, value: f64) {
        self.history.record(step, name, value);
    }

    /// The problems that hold now and were not told yet.
    pub fn news(&mut self, facts: &RunFacts) -> Vec<Verdict> {
        let mut verdicts = diagnose(&self.history, facts);
        verdicts.retain(|verdict| self.told.insert(verdict.problem));
        verdicts
    }
}
