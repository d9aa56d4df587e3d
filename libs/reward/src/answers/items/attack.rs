//! Items that are drawn by chance, off by a chosen amount, or somewhere else.

use super::ItemKind;
use crate::answers::draft::{names, other_name};
use crate::answers::{Draft, Sketch};
use crate::rng::Rng;

/// A part of the space that an item covers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Area {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) width: f64,
    pub(crate) height: f64,
}

/// One item that covers a small part of the space, as most things in images do.
pub(crate) fn drawn_sketch(kind: &dyn ItemKind, names: &[&str], rng: &mut Rng) -> Sketch {
    let span = kind.span();
    let mut side = || rng.between(0.08, 0.3) * span;
    let width = side();
    let height = side();
    let x = rng.between(0.0, span - width);
    let y = rng.between(0.0, span - height);
    let numbers = kind.numbers_of(Area { x, y, width, height }, rng);
    let label = (*rng.pick(names)).to_owned();
    let tidy = numbers.into_iter().map(|number| kind.tidy(number)).collect();
    Sketch { label, id: "1".to_owned(), ..Sketch::at(tidy) }
}

/// A true answer, drawn by chance: one item where it is alone, else up to four.
pub(super) fn draw(kind: &dyn ItemKind, rng: &mut Rng) -> Draft {
    let names = names(kind.labels());
    let n = if kind.is_single() { 1 } else { 1 + rng.below(4) };
    let items: Vec<Sketch> = (0..n).map(|_| drawn_sketch(kind, &names, rng)).collect();
    let target = rng.below(n);
    Draft::Items { items, target }
}

/// An item that is off by `sigma`.
pub(super) fn corrupt(kind: &dyn ItemKind, item: &Sketch, sigma: f64, rng: &mut Rng) -> Sketch {
    let moved = kind.moved(&item.numbers, sigma, rng);
    let within = |n: f64| match kind.farthest(&item.numbers) {
        Some(end) => n.clamp(0.0, end),
        None => n,
    };
    let numbers = moved.into_iter().map(|n| kind.tidy(within(n))).collect();
    let is_renamed = rng.unit() < sigma && kind.keys().label.is_some();
    let label =
        if is_renamed { other_name(&item.label, kind.labels(), rng) } else { item.label.clone() };
    Sketch { numbers, label, ..item.clone() }
}

/// A list of coordinates moved by a part `sigma` of its size, all x by the same amount and all y.
pub(crate) fn moved_as_a_whole(numbers: &[f64], sigma: f64, rng: &mut Rng) -> Vec<f64> {
    let mut shift = || sigma * extent(numbers) * rng.normal();
    let by = [shift(), shift()];
    numbers.iter().enumerate().map(|(idx, n)| n + by[idx % 2]).collect()
}

/// Mean side of the box around a list of points.
fn extent(numbers: &[f64]) -> f64 {
    let of = |first: usize| {
        let axis = || numbers.iter().skip(first).step_by(2).copied();
        axis().fold(f64::NEG_INFINITY, f64::max) - axis().fold(f64::INFINITY, f64::min)
    };
    (of(0) + of(1)) / 2.0
}

/// An item of another name, in another place.
pub(super) fn elsewhere_as(kind: &dyn ItemKind, item: &Sketch, label: &str) -> Sketch {
    let numbers = elsewhere(kind, &item.numbers);
    Sketch { numbers, label: label.to_owned(), ..item.clone() }
}

/// Coordinates of something as large in another place.
pub(crate) fn elsewhere(kind: &dyn ItemKind, numbers: &[f64]) -> Vec<f64> {
    let half = kind.span() / 2.0;
    match numbers {
        &[x1, y1, x2, y2] => {
            let shift = if x1 + x2 > 2.0 * half { -half } else { half };
            let left = (x1 + shift).max(0.0);
            let right = (x2 + shift).min(2.0 * half);
            vec![left, y1, right.max(left + 1.0), y2]
        }
        other => other.iter().map(|n| if *n > half { n - half } else { n + half }).collect(),
    }
}
