//! Answers that are one number and earn by how near it is.

use serde::{Deserialize, Serialize};

use super::{Evaluate, Shape};
use crate::Answer;
use crate::answers::{AnswerKind, Form};
use crate::case::Case;
use crate::config::parts::Required;
use crate::config::{AnswerConfig, ConfigError, ensure};

const SCALE: Required = ("scale", "write the error at which nothing is earned any more");

/// The shape of |error| / scale.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Closeness {
    /// Error that is one unit: nothing is earned there any more.
    pub scale: f64,
    /// How nearness becomes reward.
    #[serde(default)]
    pub shape: Shape,
}

impl Evaluate for Closeness {
    fn applies_to(kind: &AnswerKind) -> bool {
        kind.form() == Form::Number
    }

    fn required() -> &'static [Required] {
        &[SCALE]
    }

    fn check(&self, at: &str, _answer: &AnswerConfig) -> Result<(), ConfigError> {
        check_scale(self.scale, 0.0, at)?;
        self.shape.check(at)
    }

    fn value(&self, case: &Case) -> f64 {
        let Some([said, truth]) = numbers(case) else { return case.decided().unwrap_or(0.0) };
        let error = (said - truth).abs() / self.scale;
        self.shape.reward_of_error(error, case.attempt.progress)
    }
}

/// The shape of |ln(said / true)| / ln(scale), for numbers above 0 such as depths.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ratio {
    /// Ratio that is one unit: nothing is earned there any more.
    pub scale: f64,
    /// How nearness becomes reward.
    #[serde(default)]
    pub shape: Shape,
}

impl Evaluate for Ratio {
    fn applies_to(kind: &AnswerKind) -> bool {
        kind.form() == Form::Number
    }

    fn required() -> &'static [Required] {
        &[SCALE]
    }

    fn check(&self, at: &str, _answer: &AnswerConfig) -> Result<(), ConfigError> {
        check_scale(self.scale, 1.0, at)?;
        self.shape.check(at)
    }

    fn value(&self, case: &Case) -> f64 {
        let Some([said, truth]) = numbers(case) else { return case.decided().unwrap_or(0.0) };
        if said <= 0.0 || truth <= 0.0 {
            return f64::from(u8::from(said == truth));
        }
        let error = (said / truth).ln().abs() / self.scale.ln();
        self.shape.reward_of_error(error, case.attempt.progress)
    }
}

fn check_scale(scale: f64, least: f64, at: &str) -> Result<(), ConfigError> {
    let fine = scale > least && scale.is_finite();
    ensure(fine, &format!("{at}.scale"), scale, || format!("above {least}"))
}

/// The predicted number and the true one.
fn numbers(case: &Case) -> Option<[f64; 2]> {
    match (&case.reading, &case.truth.answer) {
        (Some(Answer::Number(said)), Answer::Number(truth)) => Some([*said, *truth]),
        _ => None,
    }
}
