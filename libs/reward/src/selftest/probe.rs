//! Ways to be paid without doing the work, tried before a policy tries them.

use crate::config::{AnswerConfig, AnswerType, RewardConfig};

use super::corrupt::{corrupt, other_label};
use super::draft::{NAMES, is_single, sketch, span, tidy};
use crate::render::{Draft, Sketch, complete, render};
use crate::rng::Rng;

/// A trick: its name, and what it says instead of the true answer. `None` where it makes no sense for the task.
pub(super) type Trick = (&'static str, fn(&Draft, &RewardConfig, &mut Rng) -> Option<String>);

/// All tricks.
pub(super) const TRICKS: [Trick; 11] = [
    ("full-image box", everything),
    ("100 random boxes", random_items),
    ("gold ×5", repeated),
    ("wrong boxes with confidence 0", unsure),
    ("first coordinate only", first_number),
    ("all labels listed", all_labels),
    ("gold among invented labels", invented),
    ("empty answer", empty),
    ("two answer blocks", two_blocks),
    ("gold only in the thinking", only_thought),
    ("constant answer", constant),
];

fn finish(draft: &Draft, config: &RewardConfig) -> Option<String> {
    Some(complete(" hm ", &render(draft, &config.answer), &config.format))
}

/// One item that covers all there is.
fn everything(gold: &Draft, config: &RewardConfig, _: &mut Rng) -> Option<String> {
    let Draft::Items { items, .. } = gold else { return None };
    let span = span(&config.answer);
    let first = items.first()?;
    let numbers = match config.answer.kind {
        AnswerType::Points => return None,
        AnswerType::Interval => vec![0.0, span],
        AnswerType::Polygon | AnswerType::Mask => vec![0.0, 0.0, span, 0.0, span, span, 0.0, span],
        AnswerType::Box3d => vec![span / 20.0, span / 20.0, 1.0, span / 5.0, span / 5.0, 10.0, 0.0],
        _ => vec![0.0, 0.0, span, span],
    };
    let all = |item: &Sketch| Sketch { numbers: numbers.clone(), ..item.clone() };
    let items = match config.answer.kind {
        AnswerType::Track => items.iter().map(all).collect(),
        _ => vec![all(first)],
    };
    finish(&Draft::Items { items, target: 0 }, config)
}

fn random_items(gold: &Draft, config: &RewardConfig, rng: &mut Rng) -> Option<String> {
    let Draft::Items { items, .. } = gold else { return None };
    let names: Vec<&str> = items.iter().map(|item| item.label.as_str()).collect();
    let random = |rng: &mut Rng| {
        let like = items[rng.below(items.len())].clone();
        Sketch {
            numbers: sketch(&config.answer, &NAMES, rng).numbers,
            label: (*rng.pick(&names)).to_owned(),
            ..like
        }
    };
    let items = (0..100).map(|_| random(rng)).collect();
    finish(&Draft::Items { items, target: 0 }, config)
}

fn repeated(gold: &Draft, config: &RewardConfig, _: &mut Rng) -> Option<String> {
    match gold {
        // One region drawn five times is the same region.
        Draft::Items { .. } if config.answer.kind == AnswerType::Mask => None,
        Draft::Items { items, target } => {
            let items: Vec<Sketch> = (0..5).flat_map(|_| items.clone()).collect();
            finish(&Draft::Items { items, target: *target }, config)
        }
        Draft::Order(order) => finish(&Draft::Order(order.repeat(5)), config),
        // Saying a number or a name five times is still one answer.
        Draft::Number(_) | Draft::Text(_) => None,
    }
}

/// Items somewhere else, each with confidence 0.
fn unsure(gold: &Draft, config: &RewardConfig, _: &mut Rng) -> Option<String> {
    let Draft::Items { items, .. } = gold else { return None };
    if config.answer.keys.confidence.is_empty() {
        return None;
    }
    let elsewhere = |item: &Sketch| Sketch {
        numbers: tiny(&mirrored(&item.numbers, &config.answer)),
        confidence: 0.0,
        ..item.clone()
    };
    finish(&Draft::Items { items: items.iter().map(elsewhere).collect(), target: 0 }, config)
}

/// A small box in another place that shares y1 with the first true one.
fn first_number(gold: &Draft, config: &RewardConfig, _: &mut Rng) -> Option<String> {
    let Draft::Items { items, .. } = gold else { return None };
    let first = items.first()?;
    let &[x1, y1, _, _] = &first.numbers[..] else { return None };
    if !matches!(config.answer.kind, AnswerType::Boxes | AnswerType::Box) {
        return None;
    }
    let span = span(&config.answer);
    let (x, step) = (if x1 > span / 2.0 { 0.0 } else { 0.95 * span }, 0.02 * span);
    let numbers =
        [x, y1, x + step, (y1 + step).min(span)].map(|n| tidy(n, &config.answer)).to_vec();
    finish(
        &Draft::Items {
            items: vec![Sketch { numbers, confidence: 0.0, ..first.clone() }],
            target: 0,
        },
        config,
    )
}

fn all_labels(gold: &Draft, config: &RewardConfig, rng: &mut Rng) -> Option<String> {
    let labels = &config.answer.labels;
    let names: Vec<&str> = match labels.is_empty() {
        true => NAMES.to_vec(),
        false => labels.iter().map(String::as_str).collect(),
    };
    match gold {
        Draft::Text(text) if config.answer.kind == AnswerType::Label => {
            finish(&Draft::Text(format!("{text}, {}", names.join(", "))), config)
        }
        Draft::Number(number) => {
            let all: Vec<String> = (0..50).map(|n| n.to_string()).collect();
            finish(&Draft::Text(format!("{}, {number}", all.join(", "))), config)
        }
        Draft::Items { items, .. } if !config.answer.keys.label.is_empty() => {
            let wrong = |item: &Sketch, rng: &mut Rng| {
                mirrored_as(item, &other_label(&item.label, &config.answer, rng), config)
            };
            let mut all = Vec::new();
            for item in items {
                all.push(wrong(item, rng));
                all.extend(names.iter().map(|name| mirrored_as(item, name, config)));
            }
            finish(&Draft::Items { items: all, target: 0 }, config)
        }
        _ => None,
    }
}

/// The right items, and five times as many elsewhere whose labels nobody asked for.
fn invented(gold: &Draft, config: &RewardConfig, _: &mut Rng) -> Option<String> {
    let Draft::Items { items, target } = gold else { return None };
    let may_add = !config.answer.keys.label.is_empty() && !is_single(config.answer.kind);
    may_add.then_some(())?;
    let of = |item: &Sketch, k: usize| mirrored_as(item, &format!("invented {k}"), config);
    let others = items.iter().flat_map(|item| (0..5).map(move |k| of(item, k)));
    let items = items.iter().cloned().chain(others).collect();
    finish(&Draft::Items { items, target: *target }, config)
}

fn empty(_: &Draft, config: &RewardConfig, _: &mut Rng) -> Option<String> {
    Some(complete(" hm ", "", &config.format))
}

/// A wrong answer, then the right one, each in a block of its own.
fn two_blocks(gold: &Draft, config: &RewardConfig, rng: &mut Rng) -> Option<String> {
    if !config.format.tags {
        return None;
    }
    let wrong = render(&corrupt(gold, 2.0, &config.answer, rng), &config.answer);
    let right = render(gold, &config.answer);
    let first = complete(" hm ", &right, &config.format);
    Some(format!("{first}<answer>{wrong}</answer>"))
}

fn only_thought(gold: &Draft, config: &RewardConfig, _: &mut Rng) -> Option<String> {
    if !config.format.think {
        return None;
    }
    let right =
        complete("", &render(gold, &config.answer), &config.format).replace("<think></think>", "");
    Some(complete(&right, "I do not know", &config.format))
}

/// The same answer whatever the question: the natural order, one name, a middling number.
fn constant(gold: &Draft, config: &RewardConfig, _: &mut Rng) -> Option<String> {
    match gold {
        Draft::Order(order) => finish(&Draft::Order(vec![1; order.len()]), config),
        Draft::Number(_) => finish(&Draft::Number(0.0), config),
        Draft::Text(_) => finish(&Draft::Text("thing".to_owned()), config),
        Draft::Items { .. } if config.answer.nothing.is_empty() => None,
        Draft::Items { .. } => finish(&Draft::Items { items: Vec::new(), target: 0 }, config),
    }
}

fn mirrored_as(item: &Sketch, label: &str, config: &RewardConfig) -> Sketch {
    Sketch {
        numbers: mirrored(&item.numbers, &config.answer),
        label: label.to_owned(),
        ..item.clone()
    }
}

/// A hundredth of a box at its corner, so that it cannot hit anything by chance.
fn tiny(numbers: &[f64]) -> Vec<f64> {
    match numbers {
        &[x1, y1, x2, y2] => vec![x1, y1, x1 + (x2 - x1) / 10.0, y1 + (y2 - y1) / 10.0],
        other => other.to_vec(),
    }
}

/// As large, in another place.
fn mirrored(numbers: &[f64], answer: &AnswerConfig) -> Vec<f64> {
    let half = span(answer) / 2.0;
    match numbers {
        &[x1, y1, x2, y2] => {
            let shift = if x1 + x2 > 2.0 * half { -half } else { half };
            let (left, right) = ((x1 + shift).max(0.0), (x2 + shift).min(2.0 * half));
            [left, y1, right.max(left + 1.0), y2].to_vec()
        }
        other => other.iter().map(|n| if *n > half { n - half } else { n + half }).collect(),
    }
}
