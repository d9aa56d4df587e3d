//! The numbers 1 to n in some order.

use serde::{Deserialize, Serialize};

use super::{AnswerKind, Author, Draft, Examples, Form, Kind};
use crate::Answer;
use crate::rng::Rng;
use crate::terms::{Metric, Tiles};
use crate::text::find::numbers;

/// Most items of a permutation that are read.
const MAX_LENGTH: usize = 10_000;
/// Fewest items of a permutation that is drawn.
const MIN_DRAWN: usize = 4;

/// The numbers 1 to n in some order.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PermutationAnswer {
    /// How many there are; 0 for as many as the true one has.
    pub length: usize,
}

impl Kind for PermutationAnswer {
    fn is_nothing(key: &str, value: &toml::Value) -> bool {
        key == "length" && value.as_integer() == Some(0)
    }

    fn form(&self) -> Form {
        Form::Order
    }

    fn instruction(&self) -> String {
        match self.length {
            0 => "Give the numbers in the right order.".to_owned(),
            n => format!("Give the numbers 1 to {n} in the right order."),
        }
    }

    fn example(&self) -> String {
        "1, 3, 2, ...".to_owned()
    }

    fn read(&self, text: &str, _author: Author) -> Option<Answer> {
        order(text, self.length).map(Answer::Order)
    }

    fn is_exact(&self, text: &str, _reading: &Answer) -> bool {
        text.chars().all(|c| c.is_ascii_digit() || matches!(c, ',' | ' '))
    }

    fn usual_metric(&self) -> Metric {
        Metric::Tiles(Tiles::default())
    }

    fn draw(&self, rng: &mut Rng) -> Draft {
        Draft::Order(shuffled(self.length.max(MIN_DRAWN), rng))
    }

    fn corrupt(&self, draft: &Draft, sigma: f64, rng: &mut Rng) -> Draft {
        let Draft::Order(order) = draft else { return draft.clone() };
        if rng.unit() < sigma / 2.0 {
            return Draft::Order(shuffled(order.len(), rng));
        }
        let mut order = order.clone();
        for idx in 0..order.len() {
            if rng.unit() < sigma {
                let other = rng.below(order.len());
                order.swap(idx, other);
            }
        }
        Draft::Order(order)
    }

    fn repeated(&self, gold: &Draft) -> Option<Draft> {
        let Draft::Order(order) = gold else { return None };
        Some(Draft::Order(order.repeat(5)))
    }

    fn constant(&self, gold: &Draft) -> Option<Draft> {
        let Draft::Order(order) = gold else { return None };
        Some(Draft::Order(vec![1; order.len()]))
    }
}

/// A permutation of 1 to n; `None` for anything else. n = 0 takes any n.
pub(crate) fn order(text: &str, n: usize) -> Option<Vec<usize>> {
    let order: Option<Vec<usize>> = numbers(text)
        .take(MAX_LENGTH)
        .map(|number| (number.fract() == 0.0 && number >= 1.0).then_some(number as usize))
        .collect();
    let order = order.filter(|order| !order.is_empty() && (n == 0 || order.len() == n))?;
    let mut seen = vec![false; order.len()];
    for &place in &order {
        if std::mem::replace(seen.get_mut(place - 1)?, true) {
            return None;
        }
    }
    Some(order)
}

/// The numbers 1 to n in some order that is not the natural one.
fn shuffled(n: usize, rng: &mut Rng) -> Vec<usize> {
    let mut order: Vec<usize> = (1..=n).collect();
    (1..n).rev().for_each(|idx| order.swap(idx, rng.below(idx + 1)));
    if order.is_sorted() {
        order.rotate_left(1);
    }
    order
}

/// Whether the numbers of a text are 1 to n in some order.
pub(crate) fn is_permutation(answer: &str) -> bool {
    let mut order: Vec<f64> = numbers(answer).collect();
    order.sort_by(f64::total_cmp);
    order.len() >= 2 && order.iter().enumerate().all(|(idx, n)| *n == (idx + 1) as f64)
}

/// The numbers 1 to n, and nothing missing.
pub(super) fn recognize(examples: &Examples) -> Option<(AnswerKind, String)> {
    examples.all(is_permutation).then_some(())?;
    let reason = "every answer is 1 to n in some order: a permutation".to_owned();
    Some((AnswerKind::Permutation(PermutationAnswer::default()), reason))
}
