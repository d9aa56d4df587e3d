//! Proposes a declaration from examples: the kind of answer by its looks, the terms by its kind, proved by the self-test.

pub(crate) mod space;

use std::collections::{BTreeMap, BTreeSet};

use crate::answers::{Example, Examples, recognize};
use crate::config::{AnswerConfig, MatchBy, MatchConfig, Measure, RewardConfig};
use crate::geometry::Geometry;
use crate::terms::{Confidence, Format, Metric, TermConfig};
use crate::text::extract::Solution;
use crate::text::find::lists;
use crate::{Report, RewardError, SpaceGuess, read_truth, self_test};

/// Fewest examples to go by.
const MIN_ROWS: usize = 3;
/// Examples that the self-test uses.
const MAX_TESTED: usize = 64;
/// Distance at which proposed points have nothing in common any more, as a share of the space.
const POINT_SCALE: f64 = 0.05;

/// A declaration that fits the examples and withstands the self-test.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposal {
    /// The proposed declaration of a reward.
    pub config: RewardConfig,
    /// Why this kind of answer.
    pub reason: String,
    /// What the coordinates count, and why; `None` for answers that are no places in an image.
    pub space: Option<SpaceGuess>,
    /// The self-test on the examples.
    pub report: Report,
}

/// Why there is no proposal.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum InferError {
    /// Too little to go by.
    #[error("expected at least {MIN_ROWS} questions with their answers, got {0}")]
    Rows(usize),
    /// No kind of answer fits all examples.
    #[error("no kind of answer fits all examples; the nearest, {kind}, fails on {error}{hint}")]
    Unfit {
        /// The kind that was tried.
        kind: String,
        /// What did not fit.
        error: RewardError,
        /// What may be the reason, after a semicolon; empty where nothing is known.
        hint: String,
    },
    /// The declaration is open to a trick.
    #[error("the proposed reward fails its self-test:\n{0}")]
    Untested(Box<Report>),
}

/// Proposes a declaration from questions, their true answers and the sizes of their images.
///
/// # Errors
/// Too few examples, examples that no kind of answer fits, or a proposal that fails its self-test.
pub fn infer(examples: &[Example]) -> Result<Proposal, InferError> {
    if examples.len() < MIN_ROWS {
        return Err(InferError::Rows(examples.len()));
    }
    let answers: Vec<&str> = examples.iter().map(|e| Solution::new(e.solution).answer).collect();
    let nothing = nothing(&answers);
    let pairs = examples.iter().copied().zip(answers.iter().copied());
    let some: Vec<(Example, &str)> = pairs.filter(|(_, answer)| *answer != nothing).collect();
    let some = Examples::new(&some);
    let (kind, reason) = recognize(&some);
    let config = usual_reward(AnswerConfig { nothing, ..AnswerConfig::of(kind) });
    let unfit = |error| InferError::Unfit {
        kind: config.answer.kind.name().to_owned(),
        error,
        hint: hint(&answers),
    };
    for example in examples {
        read_truth(example.solution, &config.answer).map_err(unfit)?;
    }
    let tested: Vec<String> = answers.iter().take(MAX_TESTED).map(ToString::to_string).collect();
    let report = self_test(&config, &tested).map_err(unfit)?;
    let is_in_image = matches!(
        config.answer.kind.geometry(),
        Some(Geometry::Box | Geometry::Point | Geometry::Region)
    );
    let space = is_in_image.then(|| space::guess(&some.evidence()));
    if report.passed() {
        Ok(Proposal { config, reason, space, report })
    } else {
        Err(InferError::Untested(Box::new(report)))
    }
}

/// What is said where there is nothing: a text without digits among answers that have some.
fn nothing(answers: &[&str]) -> String {
    let wordy =
        |answer: &&&str| !answer.is_empty() && !answer.contains(|c: char| c.is_ascii_digit());
    let said: BTreeSet<&str> = answers.iter().filter(wordy).copied().collect();
    let listed = answers.iter().any(|answer| answer.contains(['[', '{', '(']));
    match said.into_iter().collect::<Vec<_>>()[..] {
        [one] if listed => one.to_owned(),
        _ => String::new(),
    }
}

/// Whether boxes may have been written by their width and height: some are no corners, and all have sides above 0.
fn hint(answers: &[&str]) -> String {
    let numbers = answers.iter().flat_map(|answer| lists(answer)).filter_map(|list| list.numbers());
    let boxes: Vec<[f64; 4]> =
        numbers.flat_map(|list| list.chunks_exact(4).map(four).collect::<Vec<_>>()).collect();
    let is_no_corner = |&[x1, y1, x2, y2]: &[f64; 4]| x2 <= x1 || y2 <= y1;
    let has_sides = |&[_, _, width, height]: &[f64; 4]| width > 0.0 && height > 0.0;
    if boxes.iter().any(is_no_corner) && boxes.iter().all(has_sides) {
        "; are these [x, y, width, height]? Boxes are written by their corners, [x1, y1, x2, y2]"
            .to_owned()
    } else {
        String::new()
    }
}

fn four(numbers: &[f64]) -> [f64; 4] {
    [numbers[0], numbers[1], numbers[2], numbers[3]]
}

/// A task with this answer and the terms that are usual for its kind: how right it is, and its form.
pub fn usual_reward(answer: AnswerConfig) -> RewardConfig {
    let metric = answer.kind.kind().usual_metric();
    let mut terms = BTreeMap::from([
        (metric.name().to_owned(), TermConfig::of(metric)),
        ("format".to_owned(), TermConfig::of(Metric::Format(Format {}))),
    ]);
    if answer.has_confidence() {
        let confidence = Metric::Confidence(Confidence::default());
        terms.insert("confidence".to_owned(), TermConfig::of(confidence));
    }
    let is_points = answer.kind.geometry() == Some(Geometry::Point);
    let matching = MatchConfig {
        by: MatchBy::Hungarian,
        measure: if is_points { Measure::L1 } else { Measure::Iou },
        threshold: 0.0,
        scale: if is_points { POINT_SCALE } else { 1.0 },
        ..MatchConfig::default()
    };
    RewardConfig {
        task: answer.kind.name().to_owned(),
        answer,
        matching,
        terms,
        ..RewardConfig::default()
    }
}

#[cfg(test)]
mod tests;
