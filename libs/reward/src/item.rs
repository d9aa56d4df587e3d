//! One item out of one value, as the answer declares it.

use crate::config::{AnswerConfig, AnswerType, Space};

use crate::runs::{MAX_RUN, decompress};
use crate::value::Value;
use crate::{BBox, Flaw, Item, Mask, Place, SPACE, Solid, Span};

/// Farthest coordinate that is believed where a space has no end.
const FAR: f64 = 100_000.0;

/// Where the axes of a space end.
pub(crate) fn extent(space: Space) -> f64 {
    match space {
        Space::Thousandths => SPACE,
        Space::Unit => 1.0,
        Space::Pixels => FAR,
    }
}

/// The length that distances are measured in.
pub(crate) fn unit(space: Space) -> f64 {
    match space {
        Space::Pixels => 1.0,
        bounded => extent(bounded),
    }
}

/// Numbers of a bare item; 0 where it varies.
pub(crate) fn arity(kind: AnswerType) -> usize {
    match kind {
        AnswerType::Points | AnswerType::Interval => 2,
        AnswerType::Polygon | AnswerType::Mask | AnswerType::Box3d => 0,
        _ => 4,
    }
}

/// Whether a value is meant as an item: it has the key of the coordinates, or needs none.
pub(crate) fn is_item(value: &Value, answer: &AnswerConfig) -> bool {
    let keys = &answer.keys;
    let key = if answer.kind == AnswerType::Interval { &keys.start } else { &keys.place };
    match value {
        Value::Object(_) if key.is_empty() => value.get("counts").is_some(),
        Value::Object(_) => value.get(key).is_some(),
        _ => false,
    }
}

/// Reads an item from an object with the declared keys.
///
/// The truth may come without a confidence, but not with one that no policy should learn to say.
pub(crate) fn item(object: &Value, answer: &AnswerConfig, is_truth: bool) -> Result<Item, Flaw> {
    let keys = &answer.keys;
    let part = |key: &str| (!key.is_empty()).then(|| object.get(key)).flatten();
    let place = match answer.kind {
        AnswerType::Interval if !keys.start.is_empty() => {
            let ends = [part(&keys.start), part(&keys.end)].map(|end| end.and_then(Value::number));
            let [Some(start), Some(end)] = ends else { return Err(Flaw::NoPlace) };
            Place::Span(Span::try_new([start, end], extent(answer.space))?)
        }
        _ if keys.place.is_empty() => place(object, answer)?,
        _ => place(part(&keys.place).ok_or(Flaw::NoPlace)?, answer)?,
    };
    let mut item = Item::at(place);
    if !keys.confidence.is_empty() {
        item.confidence = confidence(part(&keys.confidence), is_truth)?;
    }
    if !keys.label.is_empty() {
        item.label = part(&keys.label).and_then(words);
        if is_truth && item.label.is_none() {
            return Err(Flaw::NoLabel);
        }
    }
    if !keys.frame.is_empty() {
        item.frame = Some(frame(part(&keys.frame))?);
    }
    if !keys.id.is_empty() {
        item.id = Some(part(&keys.id).and_then(words).ok_or(Flaw::NoId)?);
    }
    Ok(item)
}

/// Reads coordinates.
pub(crate) fn place(value: &Value, answer: &AnswerConfig) -> Result<Place, Flaw> {
    let extent = extent(answer.space);
    if matches!(answer.kind, AnswerType::Polygon | AnswerType::Mask) {
        return region(value, extent).map(Place::Region);
    }
    let numbers = value.numbers().ok_or(Flaw::Arity)?;
    match (answer.kind, &numbers[..]) {
        (AnswerType::Box3d, numbers) => Solid::try_new(numbers).map(Place::Solid),
        (AnswerType::Points, &[x, y]) => point([x, y], extent).map(Place::Point),
        (AnswerType::Interval, &[start, end]) => {
            Span::try_new([start, end], extent).map(Place::Span)
        }
        (AnswerType::Points | AnswerType::Interval, _) => Err(Flaw::Arity),
        (_, &[x1, y1, x2, y2]) => BBox::within([x1, y1, x2, y2], extent).map(Place::Box),
        _ => Err(Flaw::Arity),
    }
}

fn point(point: [f64; 2], extent: f64) -> Result<[f64; 2], Flaw> {
    match point.iter().find(|v| !(0.0..=extent).contains(*v)) {
        Some(&got) => Err(Flaw::Coordinate { got, extent }),
        None => Ok(point),
    }
}

/// An outline, several outlines, or run lengths, as numbers or compressed.
fn region(value: &Value, extent: f64) -> Result<Mask, Flaw> {
    if let (Some(size), Some(counts)) = (value.get("size"), value.get("counts")) {
        let runs = match counts {
            Value::Text(text) => decompress(text),
            numbers => whole(numbers),
        };
        let (Some(size), Some(runs)) = (whole(size), runs) else { return Err(Flaw::Runs) };
        let [height, width] = size[..] else { return Err(Flaw::Runs) };
        return Mask::from_runs([height, width], &runs).ok_or(Flaw::Runs);
    }
    let mut outlines = Vec::new();
    collect_outlines(value, extent, &mut outlines)?;
    let mask = Mask::from_outlines(&outlines, extent);
    if mask.area() == 0 { Err(Flaw::Empty) } else { Ok(mask) }
}

/// Numbers that count something.
fn whole(value: &Value) -> Option<Vec<usize>> {
    let fine = |n: &f64| n.fract() == 0.0 && (0.0..=MAX_RUN as f64).contains(n);
    value.numbers()?.iter().map(|n| fine(n).then_some(*n as usize)).collect()
}

fn collect_outlines(
    value: &Value,
    extent: f64,
    outlines: &mut Vec<Vec<[f64; 2]>>,
) -> Result<(), Flaw> {
    let Value::List(items) = value else { return Err(Flaw::Arity) };
    let is_pair = |v: &Value| matches!(v, Value::List(xy) if matches!(xy[..], [Value::Number(_), Value::Number(_)]));
    if items.iter().all(|item| matches!(item, Value::Number(_))) || items.iter().all(is_pair) {
        let numbers = value.numbers().ok_or(Flaw::Arity)?;
        if numbers.len() < 6 || numbers.len() % 2 != 0 {
            return Err(Flaw::Arity);
        }
        let corners: Result<Vec<_>, _> =
            numbers.chunks(2).map(|c| point([c[0], c[1]], extent)).collect();
        outlines.push(corners?);
        return Ok(());
    }
    items.iter().try_for_each(|item| collect_outlines(item, extent, outlines))
}

fn confidence(value: Option<&Value>, is_truth: bool) -> Result<Option<f64>, Flaw> {
    match value {
        Some(&Value::Number(confidence)) if (0.0..=1.0).contains(&confidence) => {
            Ok(Some(confidence))
        }
        Some(&Value::Number(confidence)) => Err(Flaw::Confidence(confidence)),
        _ if is_truth => Ok(None),
        _ => Err(Flaw::NoConfidence),
    }
}

fn frame(value: Option<&Value>) -> Result<u64, Flaw> {
    let number = value.and_then(Value::number).ok_or(Flaw::NoFrame)?;
    let whole = number.fract() == 0.0 && (0.0..1e9).contains(&number);
    if whole { Ok(number as u64) } else { Err(Flaw::NoFrame) }
}

fn words(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}
