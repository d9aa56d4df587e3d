//! Terms of the length of a completion, in tokens, as in TRL's reward library.

use serde::{Deserialize, Serialize};

use super::Evaluate;
use crate::answers::AnswerKind;
use crate::case::Case;
use crate::config::parts::Required;
use crate::config::{AnswerConfig, ConfigError, ensure};

const TOKENS: Required =
    ("tokens", "write the length, in tokens, at which a completion is at its limit");

/// Half a cosine over the length, from one end of the range to the other (arXiv 2502.03373); beyond the limit it
/// stays where it is. Right answers earn more when short, wrong ones when long.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cosine {
    /// Name of the term that says whether the answer is right: from one half on it is.
    pub of: String,
    /// Longest completion, in tokens.
    pub tokens: usize,
    /// Value of a right answer at the greatest length and at length 0; TRL's if left out.
    #[serde(default = "trl_right")]
    pub right: [f64; 2],
    /// Value of a wrong answer at length 0 and at the greatest length; TRL's if left out.
    #[serde(default = "trl_wrong")]
    pub wrong: [f64; 2],
}

fn trl_right() -> [f64; 2] {
    [0.5, 1.0]
}

fn trl_wrong() -> [f64; 2] {
    [-1.0, -0.5]
}

impl Cosine {
    fn at(&self, n_tokens: usize, of: f64) -> f64 {
        let limit = self.tokens.max(1) as f64;
        let cosine = (std::f64::consts::PI * (n_tokens as f64 / limit).min(1.0)).cos();
        // Wrong answers run the other way: short ones are worst.
        let [least, most] = if of >= 0.5 { self.right } else { [self.wrong[1], self.wrong[0]] };
        least + 0.5 * (most - least) * (1.0 + cosine)
    }
}

impl Evaluate for Cosine {
    fn applies_to(_kind: &AnswerKind) -> bool {
        true
    }

    fn required() -> &'static [Required] {
        &[TOKENS, ("of", "write the name of the term that says whether the answer is right")]
    }

    fn of(&self) -> Option<&str> {
        Some(&self.of)
    }

    fn value(&self, case: &Case) -> f64 {
        let of = case.values.get(self.of.as_str()).copied().unwrap_or(0.0);
        self.at(case.attempt.n_tokens(), of)
    }

    fn range(&self) -> (f64, f64) {
        let ends = [self.right, self.wrong].concat();
        ends.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |r, v| (r.0.min(*v), r.1.max(*v)))
    }
}

/// 0 up to the limit less the margin, down to -1 at the limit, -1 beyond (DAPO, arXiv 2503.14476, equation 13).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Overlong {
    /// Longest completion, in tokens.
    pub tokens: usize,
    /// Tokens before `tokens` over which the penalty grows.
    pub margin: usize,
}

impl Overlong {
    fn at(&self, n_tokens: usize) -> f64 {
        let margin = self.margin.max(1) as f64;
        let free = self.tokens.max(1) as f64 - margin;
        (-((n_tokens as f64 - free) / margin)).clamp(-1.0, 0.0)
    }
}

impl Evaluate for Overlong {
    fn applies_to(_kind: &AnswerKind) -> bool {
        true
    }

    fn required() -> &'static [Required] {
        &[TOKENS, ("margin", "write over how many tokens the penalty grows")]
    }

    fn check(&self, at: &str, _answer: &AnswerConfig) -> Result<(), ConfigError> {
        let tokens = self.tokens;
        let fine = (1..=tokens).contains(&self.margin);
        ensure(fine, &format!("{at}.margin"), self.margin, || {
            format!("from 1 to tokens = {tokens}")
        })
    }

    fn value(&self, case: &Case) -> f64 {
        self.at(case.attempt.n_tokens())
    }

    fn range(&self) -> (f64, f64) {
        (-1.0, 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlong_falls_over_the_margin() {
        let term = Overlong { tokens: 100, margin: 20 };
        let at = |n| term.at(n);
        assert_eq!((at(0), at(80), at(90), at(100), at(200)), (0.0, 0.0, -0.5, -1.0, -1.0));
    }
    #[test]
    fn cosine_turns_around_for_wrong_answers() {
        let of = "right".to_owned();
        let term = Cosine { of, tokens: 100, right: trl_right(), wrong: trl_wrong() };
        let near = |n, of, expect: f64| assert!((term.at(n, of) - expect).abs() < 1e-12);
        near(0, 1.0, 1.0);
        near(50, 1.0, 0.75);
        near(100, 1.0, 0.5);
        near(0, 0.0, -1.0);
        near(100, 0.0, -0.5);
    }
}
