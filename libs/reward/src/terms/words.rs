//! Answers that are one value and right or wrong, and those that are more or less right: names, texts, permutations.

use serde::{Deserialize, Serialize};

use super::{Evaluate, Shape};
use crate::answers::{AnswerKind, Form, order};
use crate::case::Case;
use crate::config::{AnswerConfig, ConfigError};
use crate::text::names::same;
use crate::{Answer, edit_similarity};

/// 1 if the answer is the true one.
///
/// The paper of Visual-RFT (arXiv 2503.01785, section 3.2) asks for equality; containment, which its program accepts,
/// pays for an empty answer and for a list of all names.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Accuracy {
    /// When two names or texts are the same.
    pub same: Same,
}

/// When two names or texts are the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Same {
    /// Equal but for case, Unicode normalization, white space, `_`, and quotes or full stops around them.
    #[default]
    Normalized,
    /// Equal to the letter.
    Exact,
    /// One contains the other, without white space and `_` (Visual-RFT's program).
    Contains,
}

impl Evaluate for Accuracy {
    fn applies_to(kind: &AnswerKind) -> bool {
        kind.geometry().is_none()
    }

    fn value(&self, case: &Case) -> f64 {
        let right = match (&case.reading, &case.truth.answer) {
            (Some(Answer::Words(said)), Answer::Words(truth)) => same(said, truth, self.same),
            (None, Answer::Words(truth)) if self.same == Same::Contains => {
                same("", truth, Same::Contains)
            }
            (Some(Answer::Nothing), Answer::Nothing) => case.config.answer.nothing_pays,
            (Some(said), truth) => said == truth,
            (None, _) => false,
        };
        f64::from(u8::from(right))
    }
}

/// The share of places that are right; 0 unless it is a permutation of the right length.
///
/// A text that is a permutation counts as one, and any other text is right or wrong, so that one task can hold
/// questions of both kinds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tiles {
    /// How the share becomes reward.
    pub shape: Shape,
}

impl Evaluate for Tiles {
    fn applies_to(kind: &AnswerKind) -> bool {
        matches!(kind.form(), Form::Order | Form::Text)
    }

    fn check(&self, at: &str, _answer: &AnswerConfig) -> Result<(), ConfigError> {
        self.shape.check(at)
    }

    fn value(&self, case: &Case) -> f64 {
        let share = match (&case.reading, &case.truth.answer) {
            (Some(Answer::Order(said)), Answer::Order(truth)) => share_in_place(said, truth),
            (Some(Answer::Words(said)), Answer::Words(truth)) => match permutation(truth) {
                Some(truth) => permutation(said).map_or(0.0, |said| share_in_place(&said, &truth)),
                None => f64::from(u8::from(same(said, truth, Same::Normalized))),
            },
            _ => return case.decided().unwrap_or(0.0),
        };
        self.shape.reward(share, case.attempt.progress)
    }
}

fn share_in_place(said: &[usize], truth: &[usize]) -> f64 {
    let right = said.iter().zip(truth).filter(|(said, truth)| said == truth).count();
    if said.len() == truth.len() { right as f64 / truth.len() as f64 } else { 0.0 }
}

/// Two or more numbers that are a permutation.
fn permutation(text: &str) -> Option<Vec<usize>> {
    order(text, 0).filter(|order| order.len() > 1)
}

/// 1 - edit distance / longer length, in characters.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Similarity {
    /// How the similarity becomes reward.
    pub shape: Shape,
}

impl Evaluate for Similarity {
    fn applies_to(kind: &AnswerKind) -> bool {
        kind.form() == Form::Text
    }

    fn check(&self, at: &str, _answer: &AnswerConfig) -> Result<(), ConfigError> {
        self.shape.check(at)
    }

    fn value(&self, case: &Case) -> f64 {
        let (Some(Answer::Words(said)), Answer::Words(truth)) = (&case.reading, &case.truth.answer)
        else {
            return case.decided().unwrap_or(0.0);
        };
        self.shape.reward(edit_similarity(said.trim(), truth.trim()), case.attempt.progress)
    }
}
