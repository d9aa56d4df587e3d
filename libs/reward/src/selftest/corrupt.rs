//! Answers that are wrong by a chosen amount.

use crate::config::{AnswerConfig, AnswerType};

use super::draft::{NAMES, shuffled, span, tidy};
use crate::render::{Draft, Sketch};
use crate::rng::Rng;

/// An answer that is off by `sigma`: 0 leaves it right, at 0.4 little is left of it.
///
/// Coordinates move by as large a part of the item's size, numbers by as large a part of their own; letters, places of
/// a permutation and names are exchanged with as large a probability.
pub(super) fn corrupt(draft: &Draft, sigma: f64, answer: &AnswerConfig, rng: &mut Rng) -> Draft {
    match draft {
        Draft::Items { items, target } => Draft::Items {
            items: items.iter().map(|item| moved(item, sigma, answer, rng)).collect(),
            target: *target,
        },
        Draft::Number(number) => {
            Draft::Number((number + sigma * number.abs().max(1.0) * rng.normal()).round())
        }
        Draft::Order(order) => Draft::Order(exchanged(order, sigma, rng)),
        Draft::Text(text) if answer.kind == AnswerType::Label => {
            let right = rng.unit() >= 2.0 * sigma;
            Draft::Text(if right { text.clone() } else { other_label(text, answer, rng) })
        }
        Draft::Text(text) => {
            let letter = |c: char| if rng.unit() < sigma { 'x' } else { c };
            Draft::Text(text.chars().map(letter).collect())
        }
    }
}

/// A name that is not this one.
pub(super) fn other_label(label: &str, answer: &AnswerConfig, rng: &mut Rng) -> String {
    let names: Vec<&str> = match answer.labels.is_empty() {
        true => NAMES.to_vec(),
        false => answer.labels.iter().map(String::as_str).collect(),
    };
    let others: Vec<&str> = names.into_iter().filter(|name| *name != label).collect();
    if others.is_empty() { format!("no {label}") } else { (*rng.pick(&others)).to_owned() }
}

fn moved(item: &Sketch, sigma: f64, answer: &AnswerConfig, rng: &mut Rng) -> Sketch {
    let numbers = &item.numbers;
    let size = match answer.kind {
        AnswerType::Points => 0.1 * span(answer),
        AnswerType::Box3d => (numbers[3] + numbers[4]) / 2.0,
        AnswerType::Interval => numbers[1] - numbers[0],
        _ => extent(numbers),
    };
    let mut shift = || sigma * size * rng.normal();
    let numbers: Vec<f64> = match answer.kind {
        AnswerType::Box3d => {
            let (dx, dy, turn) = (shift(), shift(), sigma * rng.normal());
            let mut numbers = numbers.clone();
            numbers[0] += dx;
            numbers[1] += dy;
            if let Some(yaw) = numbers.get_mut(6) {
                *yaw += turn;
            }
            numbers
        }
        AnswerType::Points => numbers.iter().map(|n| n + shift()).collect(),
        // The whole moves, and its sides a little: no corner overtakes another.
        AnswerType::Interval => {
            let d = shift();
            numbers.iter().map(|n| n + d).collect()
        }
        _ => {
            let d = [shift(), shift()];
            numbers.iter().enumerate().map(|(idx, n)| n + d[idx % 2]).collect()
        }
    };
    let within = |n: f64| match answer.kind {
        AnswerType::Box3d => n,
        _ => n.clamp(0.0, span(answer).max(item.numbers.iter().copied().fold(0.0, f64::max))),
    };
    Sketch {
        numbers: numbers.into_iter().map(|n| tidy(within(n), answer)).collect(),
        label: match rng.unit() < sigma && !answer.keys.label.is_empty() {
            true => other_label(&item.label, answer, rng),
            false => item.label.clone(),
        },
        ..item.clone()
    }
}

/// Mean side of the box around a list of points.
fn extent(numbers: &[f64]) -> f64 {
    let of = |first: usize| {
        let axis = || numbers.iter().skip(first).step_by(2).copied();
        axis().fold(f64::NEG_INFINITY, f64::max) - axis().fold(f64::INFINITY, f64::min)
    };
    (of(0) + of(1)) / 2.0
}

fn exchanged(order: &[usize], sigma: f64, rng: &mut Rng) -> Vec<usize> {
    let mut order = order.to_vec();
    if rng.unit() < sigma / 2.0 {
        return shuffled(order.len(), rng);
    }
    for idx in 0..order.len() {
        if rng.unit() < sigma {
            let other = rng.below(order.len());
            order.swap(idx, other);
        }
    }
    order
}
