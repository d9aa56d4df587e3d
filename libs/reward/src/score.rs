//! The reward of a completion: a weighted sum of named terms.

use crate::case::Case;
use crate::config::{RewardConfig, TermConfig};
use crate::{Answer, RewardError, Truth, official, reading};

/// Scores completions against ground truth.
#[derive(Debug, Clone)]
pub struct Reward {
    config: RewardConfig,
}

/// A completion and what its reward may depend on besides its text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Attempt<'a> {
    /// The text of the completion.
    pub text: &'a str,
    /// Token ids of the completion; where they are not known, its words are counted instead.
    pub token_ids: Option<&'a [u32]>,
    /// Share of the training that is done, from 0 to 1.
    pub progress: f64,
}

/// The reward of one completion and how it came about.
#[derive(Debug, Clone, PartialEq)]
pub struct Score {
    /// Σ weight · value; `None` if the completion could not be scored (the sum is not finite).
    pub total: Option<f64>,
    /// The terms, ordered by name: the same names for all completions of a task.
    pub terms: Vec<Term>,
}

/// One part of a reward.
#[derive(Debug, Clone, PartialEq)]
pub struct Term {
    /// As the task calls it.
    pub name: String,
    /// From 0 to 1 for most metrics; gated already.
    pub value: f64,
    /// What it is multiplied with in the total.
    pub weight: f64,
}

impl Reward {
    /// A reward as declared. The declaration was checked when it was loaded.
    pub fn new(config: &RewardConfig) -> Self {
        Self { config: config.clone() }
    }

    /// The declaration that the reward was made of.
    pub fn config(&self) -> &RewardConfig {
        &self.config
    }

    /// Whether a term says how right an answer is. A term that this reward does not declare comes from another judge,
    /// and that judges nothing else.
    pub fn is_accuracy(&self, term: &str) -> bool {
        self.config.terms.get(term).is_none_or(|term| term.metric.is_accuracy())
    }

    /// Whether a term judges how an answer is written and argued, not what it says.
    pub fn is_form(&self, term: &str) -> bool {
        self.config.terms.get(term).is_some_and(|term| term.metric.is_form())
    }

    /// Reads the ground truth of a sample.
    ///
    /// # Errors
    /// Ground truth that cannot be used, with what is wrong: see [`RewardError`].
    pub fn parse_answer(&self, solution: &str) -> Result<Truth, RewardError> {
        let answer = crate::read_truth(solution, &self.config.answer)?;
        Ok(Truth { answer, solution: solution.to_owned() })
    }

    /// What a completion says, or `None` if that cannot be read.
    pub fn read(&self, completion: &str) -> Option<Answer> {
        reading::read_completion(completion, &self.config.answer)
    }

    /// The reward of a completion.
    pub fn score(&self, completion: &str, truth: &Truth) -> Score {
        self.score_attempt(&Attempt::new(completion), truth)
    }

    /// The reward of a completion whose length, or place in the training, may matter.
    pub fn score_attempt(&self, attempt: &Attempt, truth: &Truth) -> Score {
        let mut case = Case::new(&self.config, attempt, truth);
        let declared = &self.config.terms;
        let (later, first): (Vec<_>, Vec<_>) =
            declared.iter().partition(|(_, term)| term.metric.evaluate().of().is_some());
        for (name, term) in first.into_iter().chain(later) {
            let value = value(term, &case);
            case.values.insert(name, value);
        }
        let values = case.values;
        let gated = declared.iter().map(|(name, term)| {
            let gate = term.gate.as_ref().and_then(|gate| values.get(gate.as_str()));
            let value = values[name.as_str()] * gate.copied().unwrap_or(1.0);
            Term { name: name.clone(), value, weight: term.weight }
        });
        let terms: Vec<Term> = gated.collect();
        let total: f64 = terms.iter().map(|term| term.weight * term.value).sum();
        Score { total: total.is_finite().then_some(total), terms }
    }

    /// The least and the most that a completion can earn.
    pub fn range(&self) -> (f64, f64) {
        self.config.terms.values().fold((0.0, 0.0), |(low, high), term| {
            let (least, most) = term.range();
            (low + term.weight * least, high + term.weight * most)
        })
    }
}

/// The value of a term, before its gate.
fn value(term: &TermConfig, case: &Case) -> f64 {
    if term.shortcut && official::shortcut(case.attempt.text, &case.truth.solution) {
        return 1.0;
    }
    term.metric.evaluate().value(case)
}

impl<'a> Attempt<'a> {
    /// A text at the start of the training.
    pub fn new(text: &'a str) -> Self {
        Self { text, token_ids: None, progress: 0.0 }
    }

    pub(crate) fn n_tokens(&self) -> usize {
        self.token_ids.map_or_else(|| self.text.split_whitespace().count(), <[u32]>::len)
    }
}

impl Score {
    /// The value of a term, if this task has it.
    pub fn term(&self, name: &str) -> Option<f64> {
        self.terms.iter().find(|term| term.name == name).map(|term| term.value)
    }
}

#[cfg(test)]
mod tests;
