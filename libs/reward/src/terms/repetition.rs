//! What repeating oneself costs, as in TRL's reward library.

use std::collections::HashSet;
use std::hash::Hash;

use crate::config::TermConfig;

use crate::Attempt;

/// TRL's most negative value.
pub(super) const PENALTY: f64 = -1.0;
/// TRL's words in a group.
const NGRAM: usize = 3;
/// Words of a completion that are looked at.
const MAX_WORDS: usize = 20_000;

/// (1 - distinct groups / groups) · penalty over all groups of `ngram` neighboring tokens, as TRL counts them.
///
/// Where the tokens are not known, words in lower case stand for them.
pub(super) fn repetition(attempt: &Attempt, term: &TermConfig) -> f64 {
    let n = term.ngram.unwrap_or(NGRAM);
    let share = match attempt.token_ids {
        Some(ids) => repeated(ids, n),
        None => {
            let lower = attempt.text.to_lowercase();
            let words: Vec<&str> = lower.split_whitespace().take(MAX_WORDS).collect();
            repeated(&words, n)
        }
    };
    share * term.penalty.unwrap_or(PENALTY)
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
    use crate::config::Metric;

    use super::*;

    #[track_caller]
    fn check(text: &str, expect: f64) {
        let got = repetition(&Attempt::new(text), &TermConfig::new(Metric::Repetition));
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
