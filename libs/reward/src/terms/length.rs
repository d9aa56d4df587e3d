//! Terms of the length of a completion, in tokens, as in TRL's reward library.

use crate::config::TermConfig;

/// TRL's defaults: a right answer earns 0.5 when longest and 1 when shortest, a wrong one -1 when shortest and -0.5
/// when longest.
const RIGHT: [f64; 2] = [0.5, 1.0];
const WRONG: [f64; 2] = [-1.0, -0.5];

/// Least and most of right answers, and of wrong ones.
pub(super) fn ends(term: &TermConfig) -> ([f64; 2], [f64; 2]) {
    (term.right.unwrap_or(RIGHT), term.wrong.unwrap_or(WRONG))
}

/// Half a cosine over the length, from one end of the range to the other (arXiv 2502.03373); beyond the limit it
/// stays where it is.
pub(super) fn cosine(n_tokens: usize, term: &TermConfig, of: f64) -> f64 {
    let (right, wrong) = ends(term);
    let cosine = (std::f64::consts::PI * (n_tokens as f64 / limit(term)).min(1.0)).cos();
    // Wrong answers run the other way: short ones are worst.
    let (least, most) = if of >= 0.5 { (right[0], right[1]) } else { (wrong[1], wrong[0]) };
    least + 0.5 * (most - least) * (1.0 + cosine)
}

/// 0 up to the limit less the margin, down to -1 at the limit, -1 beyond (DAPO, arXiv 2503.14476, equation 13).
pub(super) fn overlong(n_tokens: usize, term: &TermConfig) -> f64 {
    let margin = term.margin.unwrap_or(1).max(1) as f64;
    let free = limit(term) - margin;
    (-((n_tokens as f64 - free) / margin)).clamp(-1.0, 0.0)
}

fn limit(term: &TermConfig) -> f64 {
    term.tokens.unwrap_or(1).max(1) as f64
}

#[cfg(test)]
mod tests {
    use crate::config::Metric;

    use super::*;

    #[test]
    fn overlong_falls_over_the_margin() {
        let term =
            TermConfig { tokens: Some(100), margin: Some(20), ..TermConfig::new(Metric::Overlong) };
        let at = |n| overlong(n, &term);
        assert_eq!((at(0), at(80), at(90), at(100), at(200)), (0.0, 0.0, -0.5, -1.0, -1.0));
    }
    #[test]
    fn cosine_turns_around_for_wrong_answers() {
        let term = TermConfig { tokens: Some(100), ..TermConfig::new(Metric::Cosine) };
        let near = |n, of, expect: f64| assert!((cosine(n, &term, of) - expect).abs() < 1e-12);
        near(0, 1.0, 1.0);
        near(50, 1.0, 0.75);
        near(100, 1.0, 0.5);
        near(0, 0.0, -1.0);
        near(100, 0.0, -0.5);
    }
}
