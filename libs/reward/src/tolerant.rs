//! Reads the answer of a model that means well and writes badly.
//!
//! Overlooked is what carries no meaning: either kind of quotes, the case of keys, trailing commas, doubled
//! brackets, prose and code fences around a list, digits of other scripts; an object that the text ends in the
//! middle of is left out. Nothing is guessed: two numbers are no number, two names are no name.

use crate::config::{AnswerConfig, AnswerType};

use crate::item::{arity, is_item, item, place};
use crate::label::{chosen, letters};
use crate::plain::plain;
use crate::value::{self, Value};
use crate::{Answer, Flaw, Item, Items};

/// Items of an answer that are looked at; further ones count as wrong.
const MAX_ITEMS: usize = 1000;

/// Reads the text of an answer; `None` if it says nothing of the declared kind.
pub fn read_answer(text: &str, answer: &AnswerConfig) -> Option<Answer> {
    read(text, answer, false)
}

pub(crate) fn read(text: &str, answer: &AnswerConfig, is_truth: bool) -> Option<Answer> {
    let text = plain(text);
    if says_nothing(&text, &answer.nothing) {
        return Some(Answer::Nothing);
    }
    match answer.kind {
        AnswerType::Label => chosen(&text, &answer.labels).map(Answer::Words),
        AnswerType::Text => {
            Some(text.trim()).filter(|t| !t.is_empty()).map(|t| Answer::Words(t.into()))
        }
        AnswerType::Number => only_number(&text).map(Answer::Number),
        AnswerType::Permutation => order(&text, answer.length).map(Answer::Order),
        _ => items(&text, answer, is_truth).map(Answer::Items),
    }
}

/// Whether an answer states that there is no object: in the declared words, or as an empty list.
pub(crate) fn says_nothing(text: &str, nothing: &str) -> bool {
    if nothing.is_empty() {
        return false;
    }
    let said: String = text
        .chars()
        .take(64)
        .filter(|c| c.is_alphanumeric() || "[]{}".contains(*c))
        .flat_map(char::to_lowercase)
        .collect();
    let declared = letters(nothing);
    ["[]", "json[]", &declared, declared.trim_end_matches('s')].contains(&said.as_str())
        && text.trim().chars().count() <= 64
}

fn items(text: &str, answer: &AnswerConfig, is_truth: bool) -> Option<Items> {
    let mut found = Vec::new();
    let mut target = None;
    for object in objects(text) {
        if !answer.keys.target.is_empty() {
            target = object.get(&answer.keys.target).and_then(Value::number).or(target);
        }
        collect(&object, answer, is_truth, &mut found);
    }
    if found.is_empty() && answer.keys.place.is_empty() && answer.keys.start.is_empty() {
        found = bare(text, answer);
    }
    (!found.is_empty()).then(|| sort_out(found, target))
}

/// Valid ones and flaws apart; the target is counted among all.
fn sort_out(found: Vec<Result<Item, Flaw>>, target: Option<f64>) -> Items {
    let mut items = Items::default();
    for (idx, item) in found.into_iter().enumerate() {
        match item {
            Ok(item) if idx < MAX_ITEMS => {
                if target == Some(idx as f64) {
                    items.target = Some(items.valid.len());
                }
                items.valid.push(item);
            }
            Ok(_) => items.flaws.push(Flaw::TooMany),
            Err(flaw) => items.flaws.push(flaw),
        }
    }
    items
}

/// All objects that stand in the text, outermost ones only.
pub(crate) fn objects(text: &str) -> impl Iterator<Item = Value> {
    values(text, &['{'])
}

fn values(text: &str, open: &'static [char]) -> impl Iterator<Item = Value> {
    let mut rest = text;
    // What is read again after a failure is paid for: hostile text ends the search.
    let mut fuel = 16 * text.len() + 1024;
    std::iter::from_fn(move || {
        loop {
            rest = &rest[rest.find(open)?..];
            let (value, used) = value::read_counting(rest);
            fuel = fuel.checked_sub(used)?;
            match value {
                Some((object, after)) => {
                    rest = after;
                    return Some(object);
                }
                None => rest = &rest[1..],
            }
        }
    })
}

fn collect(
    object: &Value,
    answer: &AnswerConfig,
    is_truth: bool,
    found: &mut Vec<Result<Item, Flaw>>,
) {
    let before = found.len();
    if !is_item(object, answer) {
        nested(object, answer, is_truth, found);
    }
    if found.len() == before {
        found.push(item(object, answer, is_truth));
    }
}

/// Objects inside a wrapper, as in `{"objects": [{...}]}`.
fn nested(
    value: &Value,
    answer: &AnswerConfig,
    is_truth: bool,
    found: &mut Vec<Result<Item, Flaw>>,
) {
    let inner: Vec<&Value> = match value {
        Value::Object(fields) => fields.iter().map(|(_, inner)| inner).collect(),
        Value::List(items) => items.iter().collect(),
        _ => return,
    };
    for inner in inner {
        match inner {
            Value::Object(_) => collect(inner, answer, is_truth, found),
            _ => nested(inner, answer, is_truth, found),
        }
    }
}

/// Items without keys: bracketed numbers, or nothing but numbers.
fn bare(text: &str, answer: &AnswerConfig) -> Vec<Result<Item, Flaw>> {
    let read = |value: &Value| place(value, answer).map(Item::at);
    let lists: Vec<Value> =
        values(text, &['[', '(']).filter(|v| matches!(v, Value::List(_))).collect();
    let arity = arity(answer.kind);
    if arity == 0 {
        return match (&lists[..], answer.kind) {
            ([list], AnswerType::Polygon | AnswerType::Box3d) => match &list {
                Value::List(items) if is_list_of_items(items, answer.kind) => {
                    items.iter().map(read).collect()
                }
                one => vec![read(one)],
            },
            ([], _) => Vec::new(),
            (_, AnswerType::Mask) => vec![read(&Value::List(lists))],
            (lists, _) => lists.iter().map(read).collect(),
        };
    }
    let numbers: Vec<f64> = match lists.is_empty() {
        true => numbers(text).take(arity + 1).collect(),
        false => lists.iter().filter_map(Value::numbers).flatten().collect(),
    };
    if lists.is_empty() && numbers.len() != arity {
        return Vec::new();
    }
    let chunk =
        |chunk: &[f64]| read(&Value::List(chunk.iter().copied().map(Value::Number).collect()));
    numbers.chunks(arity).map(chunk).collect()
}

/// Whether a list holds several items, rather than being one.
fn is_list_of_items(items: &[Value], kind: AnswerType) -> bool {
    let inner = |item: &Value| match item {
        Value::List(inner) => match kind {
            AnswerType::Polygon => inner.len() >= 3,
            _ => true,
        },
        _ => false,
    };
    !items.is_empty() && items.iter().all(inner)
}

/// The numbers in a text, in their order.
pub(crate) fn numbers(text: &str) -> impl Iterator<Item = f64> {
    let number = |c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | '+');
    let words = text.split(move |c: char| !number(c));
    words.filter_map(|word| {
        let word = word.trim_end_matches(['.', '-', '+']);
        word.parse::<f64>().ok().filter(|number| number.is_finite())
    })
}

/// The number of a text that has only one; thousands may be set off by commas.
fn only_number(text: &str) -> Option<f64> {
    let joined;
    let text = match text.contains(',') {
        true => {
            joined = without_thousands_commas(text);
            &joined
        }
        false => text,
    };
    let mut numbers = numbers(text);
    let first = numbers.next()?;
    numbers.all(|number| number == first).then_some(first)
}

/// Drops each comma between a digit and exactly three digits.
fn without_thousands_commas(text: &str) -> String {
    let bytes = text.as_bytes();
    let digit = |idx: usize| bytes.get(idx).is_some_and(u8::is_ascii_digit);
    let sets_off = |idx: usize| {
        idx > 0 && digit(idx - 1) && (1..=3).all(|k| digit(idx + k)) && !digit(idx + 4)
    };
    let kept = text.char_indices().filter(|&(idx, c)| c != ',' || !sets_off(idx));
    kept.map(|(_, c)| c).collect()
}

/// A permutation of 1 to n; `None` for anything else. n = 0 takes any n.
pub(crate) fn order(text: &str, n: usize) -> Option<Vec<usize>> {
    const MAX_LENGTH: usize = 10_000;
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

#[cfg(test)]
#[path = "tolerant_tests.rs"]
mod tests;
