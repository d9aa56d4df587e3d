//! What repeating oneself costs, as in TRL's reward library.

use std::collections::HashSet;

use config::TermConfig;

/// TRL's most negative value.
pub(super) const PENALTY: f64 = -1.0;
/// TRL's words in a group.
const NGRAM: usize = 3;
/// Words of a completion that are looked at.
const MAX_WORDS: usize = 20_000;

/// (1 - distinct groups / groups) · penalty over all groups of `ngram` neighboring words, in lower case.
pub(super) fn repetition(text: &str, term: &TermConfig) -> f64 {
    let lower = text.to_lowercase();
    let words: Vec<&str> = lower.split_whitespace().take(MAX_WORDS).collect();
    let n = term.ngram.unwrap_or(NGRAM);
    if words.len() < n {
        return 0.0;
    }
    let distinct: HashSet<&[&str]> = words.windows(n).collect();
    let total = words.len() - n + 1;
    (1.0 - distinct.len() as f64 / total as f64) * term.penalty.unwrap_or(PENALTY)
}

#[cfg(test)]
mod tests {
    use config::Metric;

    use super::*;

    #[track_caller]
    fn check(text: &str, expect: f64) {
        let got = repetition(text, &TermConfig::new(Metric::Repetition));
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
