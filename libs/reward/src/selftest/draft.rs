//! True answers to test a reward with: drawn by chance, or taken from data.

use crate::config::{AnswerConfig, AnswerType, Space};

use crate::render::{Draft, Sketch};
use crate::rng::Rng;
use crate::{Answer, Item, Place};

/// Names for labels where none are declared.
pub(super) const NAMES: [&str; 8] =
    ["bus", "train", "stop sign", "cat", "fire hydrant", "bed", "toilet", "dog"];
const WORDS: [&str; 12] = [
    "stop", "open", "daily", "north", "exit", "platform", "two", "market", "street", "water",
    "fresh", "bread",
];

/// The length of the space that numbers are drawn from.
pub(super) fn span(answer: &AnswerConfig) -> f64 {
    match answer.space {
        Space::Unit => 1.0,
        Space::Thousandths => 1000.0,
        Space::Pixels => 640.0,
    }
}

/// Numbers as a policy would write them: whole ones but in the unit space.
pub(super) fn tidy(number: f64, answer: &AnswerConfig) -> f64 {
    match answer.space {
        Space::Unit => (number * 1000.0).round() / 1000.0,
        _ if answer.kind == AnswerType::Box3d => (number * 100.0).round() / 100.0,
        _ => number.round(),
    }
}

/// A true answer, drawn by chance.
pub(super) fn draw(answer: &AnswerConfig, rng: &mut Rng) -> Draft {
    let names: Vec<&str> = match answer.labels.is_empty() {
        true => NAMES.to_vec(),
        false => answer.labels.iter().map(String::as_str).collect(),
    };
    match answer.kind {
        AnswerType::Label => Draft::Text((*rng.pick(&names)).to_owned()),
        AnswerType::Text => {
            let words: Vec<&str> = (0..3 + rng.below(4)).map(|_| *rng.pick(&WORDS)).collect();
            Draft::Text(words.join(" "))
        }
        AnswerType::Number => Draft::Number((2 + rng.below(28)) as f64),
        AnswerType::Permutation => Draft::Order(shuffled(answer.length.max(4), rng)),
        AnswerType::Track => tracks(answer, rng),
        _ => {
            let n = if is_single(answer.kind) { 1 } else { 1 + rng.below(4) };
            let items: Vec<Sketch> = (0..n).map(|_| sketch(answer, &names, rng)).collect();
            let target = rng.below(n);
            Draft::Items { items, target }
        }
    }
}

/// Whether an answer is one item.
pub(super) fn is_single(kind: AnswerType) -> bool {
    matches!(kind, AnswerType::Box | AnswerType::Mask | AnswerType::Interval)
}

/// One item that covers a small part of the space, as most things in images do.
pub(super) fn sketch(answer: &AnswerConfig, names: &[&str], rng: &mut Rng) -> Sketch {
    let span = span(answer);
    let mut side = || rng.between(0.08, 0.3) * span;
    let (width, height) = (side(), side());
    let (x, y) = (rng.between(0.0, span - width), rng.between(0.0, span - height));
    let numbers = match answer.kind {
        AnswerType::Points => vec![x, y],
        AnswerType::Interval => vec![x, x + width],
        AnswerType::Polygon | AnswerType::Mask => {
            vec![x, y, x + width, y, x + width, y + height, x, y + height]
        }
        AnswerType::Box3d => {
            vec![
                x / 10.0,
                y / 10.0,
                1.0,
                width / 50.0 + 1.0,
                height / 50.0 + 1.0,
                1.6,
                rng.between(-3.0, 3.0),
            ]
        }
        _ => vec![x, y, x + width, y + height],
    };
    Sketch {
        numbers: numbers.into_iter().map(|number| tidy(number, answer)).collect(),
        label: (*rng.pick(names)).to_owned(),
        confidence: 1.0,
        frame: 0,
        id: "1".to_owned(),
    }
}

/// Two objects that move through six frames; one where items have no id.
fn tracks(answer: &AnswerConfig, rng: &mut Rng) -> Draft {
    let n_objects = if answer.keys.id.is_empty() { 1 } else { 2 };
    let mut items = Vec::new();
    for id in 0..n_objects {
        let start = sketch(answer, &NAMES, rng);
        let (dx, dy) =
            (rng.between(-0.01, 0.01) * span(answer), rng.between(-0.01, 0.01) * span(answer));
        for frame in 0..6 {
            let shift = [dx, dy, dx, dy].map(|d| d * frame as f64);
            let moved = start
                .numbers
                .iter()
                .zip(shift)
                .map(|(n, d)| tidy((n + d).clamp(0.0, span(answer)), answer));
            items.push(Sketch {
                numbers: moved.collect(),
                frame,
                id: id.to_string(),
                ..start.clone()
            });
        }
    }
    Draft::Items { items, target: 0 }
}

/// The numbers 1 to n in some order that is not the natural one.
pub(super) fn shuffled(n: usize, rng: &mut Rng) -> Vec<usize> {
    let mut order: Vec<usize> = (1..=n).collect();
    (1..n).rev().for_each(|idx| order.swap(idx, rng.below(idx + 1)));
    if order.is_sorted() {
        order.rotate_left(1);
    }
    order
}

/// A true answer from data as a draft; `None` for "nothing" and for run lengths, which have no corners to move.
pub(super) fn from_truth(truth: &Answer) -> Option<Draft> {
    match truth {
        Answer::Nothing => None,
        Answer::Words(words) => Some(Draft::Text(words.clone())),
        Answer::Number(number) => Some(Draft::Number(*number)),
        Answer::Order(order) => Some(Draft::Order(order.clone())),
        Answer::Items(items) => {
            let sketches: Option<Vec<Sketch>> = items.valid.iter().map(from_item).collect();
            Some(Draft::Items { items: sketches?, target: items.target.unwrap_or(0) })
        }
    }
}

fn from_item(item: &Item) -> Option<Sketch> {
    let numbers = match &item.place {
        Place::Box(bbox) => bbox.corners().to_vec(),
        Place::Point(point) => point.to_vec(),
        Place::Span(span) => vec![span.start, span.end],
        Place::Solid(solid) => [&solid.center[..], &solid.size[..], &[solid.yaw]].concat(),
        Place::Region(_) => return None,
    };
    Some(Sketch {
        numbers,
        label: item.label.clone().unwrap_or_default(),
        confidence: 1.0,
        frame: item.frame.unwrap_or(0),
        id: item.id.clone().unwrap_or_default(),
    })
}
