//! The reward of a completion: a weighted sum of named terms.

use config::{RewardConfig, RewardMode};

use crate::classification::accuracy;
use crate::detection::detection;
use crate::format::format;
use crate::{Answer, RewardError};

/// Scores completions against ground truth.
#[derive(Debug, Clone)]
pub struct Reward {
    config: RewardConfig,
}

/// The reward of one completion and how it came about.
#[derive(Debug, Clone, PartialEq)]
pub struct Score {
    /// Σ weight · value; `None` if the completion could not be scored (the sum is not finite).
    pub total: Option<f64>,
    /// The terms, in a fixed order: the same names for all completions of a task.
    pub terms: Vec<Term>,
}

/// One part of a reward.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Term {
    /// `iou`, `confidence`, `accuracy` or `format`.
    pub name: &'static str,
    /// From 0 to 1.
    pub value: f64,
    /// What it is multiplied with in the total.
    pub weight: f64,
}

impl Reward {
    /// A reward as configured.
    pub fn new(config: &RewardConfig) -> Self {
        Self { config: config.clone() }
    }

    /// Reads the ground truth of a sample for the configured task.
    ///
    /// # Errors
    /// Ground truth that cannot be used, with what is wrong: see [`RewardError`].
    pub fn parse_answer(&self, solution: &str) -> Result<Answer, RewardError> {
        Answer::parse(solution, self.config.task)
    }

    /// The reward of a completion. The kind of the answer decides the terms.
    pub fn score(&self, completion: &str, answer: &Answer) -> Score {
        let weights = &self.config.weights;
        let mut terms = match answer {
            Answer::Detection(truth) => {
                let found = detection(completion, truth, &self.config);
                vec![
                    Term { name: "iou", value: found.iou, weight: weights.iou },
                    Term {
                        name: "confidence",
                        value: found.confidence,
                        weight: weights.confidence,
                    },
                ]
            }
            Answer::Classification(label) => {
                let value = accuracy(completion, label, self.mode());
                vec![Term { name: "accuracy", value, weight: weights.accuracy }]
            }
        };
        let value = format(completion, self.mode());
        terms.push(Term { name: "format", value, weight: weights.format });
        let total: f64 = terms.iter().map(|term| term.weight * term.value).sum();
        Score { total: total.is_finite().then_some(total), terms }
    }

    fn mode(&self) -> RewardMode {
        self.config.mode
    }
}

impl Score {
    /// The value of a term, if this task has it.
    pub fn term(&self, name: &str) -> Option<f64> {
        self.terms.iter().find(|term| term.name == name).map(|term| term.value)
    }
}

#[cfg(test)]
#[path = "score_tests.rs"]
mod tests;
