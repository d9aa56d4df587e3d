//! Ways to be paid without doing the work, tried before a policy tries them.

use crate::answers::{Draft, ItemKind, Sketch, drawn_sketch, elsewhere, names};
use crate::config::RewardConfig;
use crate::geometry::Geometry;
use crate::rng::Rng;
use crate::writing::{complete, write};

/// Boxes that are drawn at random.
const N_RANDOM: usize = 100;
/// Labels that nobody asked for, for each true item.
const N_INVENTED: usize = 5;
/// How far off an answer is that nothing is right about.
const ALL_WRONG: f64 = 2.0;

/// A trick: its name, and what it says instead of the true answer. `None` where it makes no sense for the task.
pub(super) type Trick = (&'static str, fn(&Draft, &RewardConfig, &mut Rng) -> Option<String>);

/// All tricks that the self-test tries.
pub(super) const TRICKS: [Trick; 11] = [
    ("full-image box", everything),
    ("100 random boxes", random_items),
    ("gold ×5", repeated),
    ("wrong boxes with confidence 0", unsure),
    ("first coordinate only", first_number),
    ("all labels listed", hedged),
    ("gold among invented labels", invented),
    ("empty answer", empty),
    ("two answer blocks", two_blocks),
    ("gold only in the thinking", only_thought),
    (CONSTANT, constant),
];

/// Name of the trick that never looks.
pub(super) const CONSTANT: &str = "constant answer";

fn finish(draft: &Draft, config: &RewardConfig) -> Option<String> {
    Some(complete(" hm ", &write(draft, &config.answer), &config.format))
}

fn items(config: &RewardConfig) -> Option<&dyn ItemKind> {
    config.answer.kind.kind().as_items()
}

/// One item that covers all there is.
fn everything(gold: &Draft, config: &RewardConfig, _: &mut Rng) -> Option<String> {
    let kind = items(config)?;
    let numbers = kind.numbers_of_all()?;
    let all = |item: &Sketch| Sketch { numbers: numbers.clone(), ..item.clone() };
    let n = if kind.is_sequence() { gold.items().len() } else { 1 };
    gold.items().first()?;
    let items = gold.items().iter().take(n).map(all).collect();
    finish(&Draft::Items { items, target: 0 }, config)
}

fn random_items(gold: &Draft, config: &RewardConfig, rng: &mut Rng) -> Option<String> {
    let kind = items(config)?;
    let gold = gold.items();
    let labels: Vec<&str> = gold.iter().map(|item| item.label.as_str()).collect();
    let random = |rng: &mut Rng| {
        let like = gold[rng.below(gold.len())].clone();
        let numbers = drawn_sketch(kind, &names(&[]), rng).numbers;
        Sketch { numbers, label: (*rng.pick(&labels)).to_owned(), ..like }
    };
    gold.first()?;
    let items = (0..N_RANDOM).map(|_| random(rng)).collect();
    finish(&Draft::Items { items, target: 0 }, config)
}

fn repeated(gold: &Draft, config: &RewardConfig, _: &mut Rng) -> Option<String> {
    finish(&config.answer.kind.kind().repeated(gold)?, config)
}

/// Items somewhere else, each with confidence 0.
fn unsure(gold: &Draft, config: &RewardConfig, _: &mut Rng) -> Option<String> {
    let kind = items(config)?;
    kind.keys().confidence?;
    let elsewhere = |item: &Sketch| Sketch {
        numbers: tiny(&elsewhere(kind, &item.numbers)),
        confidence: 0.0,
        ..item.clone()
    };
    let items = gold.items().iter().map(elsewhere).collect();
    finish(&Draft::Items { items, target: 0 }, config)
}

/// A small box in another place that shares y1 with the first true one.
fn first_number(gold: &Draft, config: &RewardConfig, _: &mut Rng) -> Option<String> {
    let kind = items(config)?;
    let keys = kind.keys();
    let is_plain =
        kind.geometry() == Geometry::Box && keys.frame.is_none() && keys.target.is_none();
    is_plain.then_some(())?;
    let first = gold.items().first()?;
    let &[x1, y1, _, _] = &first.numbers[..] else { return None };
    let span = kind.span();
    let x = if x1 > span / 2.0 { 0.0 } else { 0.95 * span };
    let step = 0.02 * span;
    let numbers = [x, y1, x + step, (y1 + step).min(span)].map(|n| kind.tidy(n)).to_vec();
    finish(&Draft::one(Sketch { numbers, confidence: 0.0, ..first.clone() }), config)
}

/// The right answer among all other ones that are likely.
fn hedged(gold: &Draft, config: &RewardConfig, rng: &mut Rng) -> Option<String> {
    finish(&config.answer.kind.kind().hedged(gold, rng)?, config)
}

/// The right items, and five times as many elsewhere whose labels nobody asked for.
fn invented(gold: &Draft, config: &RewardConfig, _: &mut Rng) -> Option<String> {
    let kind = items(config)?;
    let Draft::Items { items, target } = gold else { return None };
    (kind.keys().label.is_some() && !kind.is_single()).then_some(())?;
    let of = |item: &Sketch, k: usize| Sketch {
        numbers: elsewhere(kind, &item.numbers),
        label: format!("invented {k}"),
        ..item.clone()
    };
    let others = items.iter().flat_map(|item| (0..N_INVENTED).map(move |k| of(item, k)));
    let items = items.iter().cloned().chain(others).collect();
    finish(&Draft::Items { items, target: *target }, config)
}

fn empty(_: &Draft, config: &RewardConfig, _: &mut Rng) -> Option<String> {
    Some(complete(" hm ", "", &config.format))
}

/// The right answer, then a wrong one, each in a block of its own.
fn two_blocks(gold: &Draft, config: &RewardConfig, rng: &mut Rng) -> Option<String> {
    if !config.format.tags {
        return None;
    }
    let wrong = write(&config.answer.kind.kind().corrupt(gold, ALL_WRONG, rng), &config.answer);
    Some(format!("{}<answer>{wrong}</answer>", finish(gold, config)?))
}

fn only_thought(gold: &Draft, config: &RewardConfig, _: &mut Rng) -> Option<String> {
    if !config.format.think {
        return None;
    }
    let right = complete("", &write(gold, &config.answer), &config.format);
    let right = right.replace("<think></think>", "");
    Some(complete(&right, "I do not know", &config.format))
}

/// The same answer whatever the question: the natural order, one name, a middling number, or "nothing".
fn constant(gold: &Draft, config: &RewardConfig, _: &mut Rng) -> Option<String> {
    let constant = config.answer.kind.kind().constant(gold);
    let says_nothing = items(config).is_some() && !config.answer.nothing.is_empty();
    let nothing = says_nothing.then(|| Draft::Items { items: Vec::new(), target: 0 });
    finish(&constant.or(nothing)?, config)
}

/// A hundredth of a box at its corner, so that it cannot hit anything by chance.
fn tiny(numbers: &[f64]) -> Vec<f64> {
    match numbers {
        &[x1, y1, x2, y2] => vec![x1, y1, x1 + (x2 - x1) / 10.0, y1 + (y2 - y1) / 10.0],
        other => other.to_vec(),
    }
}
