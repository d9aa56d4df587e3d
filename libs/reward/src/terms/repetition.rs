//! What repeating oneself costs, as in TRL's reward library.

use std::collections::HashSet;
use std::hash::Hash;

use serde::{Deserialize, Serialize};

use super::Evaluate;
use crate::Attempt;
use crate::answers::AnswerKind;
use crate::case::Case;
use crate::config::{AnswerConfig, ConfigError, ensure};

/// Words of a completion that are looked at.
const MAX_WORDS: usize = 20_000;

/// (1 - distinct groups / groups) · penalty over all groups of `ngram` neighboring tokens, as TRL counts them.
///
/// Where the tokens are not known, words in lower case stand for them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Repetition {
    /// Tokens that are compared together.
    pub ngram: usize,
    /// The most negative value of the term.
    pub penalty: f64,
}

impl Default for Repetition {
    /// TRL's defaults.
    fn default() -> Self {
        Self { ngram: 3, penalty: -1.0 }
    }
}

impl Repetition {
    fn of(&self, attempt: &Attempt) -> f64 {
        let share = match attempt.token_ids {
            Some(ids) => repeated(ids, self.ngram),
            None => {
                let lower = attempt.text.to_lowercase();
                let words: Vec<&str> = lower.split_whitespace().take(MAX_WORDS).collect();
                repeated(&words, self.ngram)
            }
        };
        share * self.penalty
    }
}

impl Evaluate for Repetition {
    fn applies_to(_kind: &AnswerKind) -> bool {
        true
    }

    fn check(&self, at: &str, _answer: &AnswerConfig) -> Result<(), ConfigError> {
        ensure(self.ngram > 0, &format!("{at}.ngram"), self.ngram, || "at least 1 word".into())?;
        let fine = self.penalty <= 0.0 && self.penalty.is_finite();
        ensure(fine, &format!("{at}.penalty"), self.penalty, || "0 or below".into())
    }

    fn value(&self, case: &Case) -> f64 {
        self.of(case.attempt)
    }

    fn range(&self) -> (f64, f64) {
        (self.penalty, 0.0)
    }
}

fn repeated<T: Eq + Hash>(tokens: &[T], n: usize) -> f64 {
    if tokens.len() < n {
        return 0.0;
    }
    let distinct: HashSet<&[T]> = tokens.windows(n).collect();
    1.0 - distinct.len() as f64 / (tokens.len() - n + 1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expect: f64) {
        let got = Repetition::default().of(&Attempt::new(text));
        assert!((got - expect).abs() < 1e-12, "{got}");
    }

    #[test]
    fn too_short_to_repeat() {
        check("", 0.0);
        check("a a", 0.0);
    }
    #[test]
    fn all_the_same() {
        check("a A a a", -0.5);
    }
    #[test]
    fn all_different() {
        check("a b c d e", 0.0);
    }
}
