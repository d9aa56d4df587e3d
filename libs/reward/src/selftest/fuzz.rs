//! Random texts: each must get a finite score within the range, and the same score every time.

use super::{Check, SEED, Tester};
use crate::Attempt;
use crate::rng::Rng;
use crate::writing::write;

/// Texts that are tried.
const N_TEXTS: usize = 2000;
/// Pieces that answers are made of, and some that they should not be.
const PIECES: [&str; 34] = [
    "<think>",
    "</think>",
    "<answer>",
    "</answer>",
    "[",
    "]",
    "{",
    "}",
    "(",
    ")",
    "'",
    "\"",
    ",",
    ":",
    " ",
    "\n",
    "1",
    "0.5",
    "-7",
    "1e400",
    "NaN",
    "Infinity",
    "null",
    "True",
    "Position",
    "Confidence",
    "'Position': [1, 2, 3, 4]",
    "No Objects",
    "```json",
    "é",
    "１",
    "A",
    "#1: count=2\n",
    "\u{0}",
];

/// Texts that no score should break on.
pub(super) fn fuzz(tester: &Tester) -> Vec<Check> {
    let (low, high) = tester.reward.range();
    let mut rng = Rng::new(SEED);
    let (mut unscored, mut outside, mut unsteady) = (0, 0, 0);
    for k in 0..N_TEXTS {
        let Some((draft, truth)) = tester.gold.get(k % tester.gold.len().max(1)) else { break };
        let text = text(&write(draft, &tester.config().answer), &mut rng);
        let ids: Vec<u32> = (0..rng.below(1500)).map(|_| rng.below(9) as u32).collect();
        let attempt = Attempt { text: &text, token_ids: Some(&ids), progress: rng.unit() };
        let first = tester.reward.score_attempt(&attempt, truth);
        unsteady += usize::from(
            first != tester.reward.score_attempt(&attempt, truth) && first.total.is_some(),
        );
        match first.total {
            None => unscored += 1,
            Some(total) => outside += usize::from(!(low - 1e-9..=high + 1e-9).contains(&total)),
        }
    }
    let check = |name: &str, count: usize| {
        Check::new(name, count == 0, format!("0 of {N_TEXTS}"), count as f64)
    };
    vec![
        check("fuzz: texts without a finite score", unscored),
        check("fuzz: texts that earn less or more than the range", outside),
        check("fuzz: texts that score differently a second time", unsteady),
    ]
}

/// A true answer with pieces put in and cut out, or pieces alone.
fn text(answer: &str, rng: &mut Rng) -> String {
    let mut text = if rng.unit() < 0.5 {
        format!("<think>a</think><answer>{answer}</answer>")
    } else {
        String::new()
    };
    for _ in 0..1 + rng.below(12) {
        let mut at = rng.below(text.len() + 1);
        at = text.floor_char_boundary(at);
        match rng.below(4) {
            0 => {
                let end = text.floor_char_boundary((at + rng.below(20)).min(text.len())).max(at);
                text.replace_range(at..end, "");
            }
            _ => text.insert_str(at, PIECES[rng.below(PIECES.len())]),
        }
    }
    text
}
