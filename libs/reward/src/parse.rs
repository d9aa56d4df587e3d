//! Predicted boxes out of the text of an answer.

use crate::extract::answer_text;
use crate::value::{self, Value};
use crate::{BBox, Flaw};

/// Bytes of an answer that are looked at. A thousand boxes fit; what a model rambles after that is not read.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// A predicted box.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Detection {
    /// Where.
    pub bbox: BBox,
    /// How sure, from 0 to 1.
    pub confidence: f64,
}

/// What the text of an answer says.
#[derive(Debug, Clone, PartialEq)]
pub enum Reading {
    /// That there is nothing: "No Objects", or an empty list.
    Nothing,
    /// These predictions in their order; one that is not a valid box with a valid confidence stays, as its flaw.
    Predictions(Vec<Result<Detection, Flaw>>),
    /// Neither.
    Unreadable,
}

impl Reading {
    /// The valid predictions.
    pub fn detections(&self) -> impl Iterator<Item = Detection> {
        let predictions = match self {
            Reading::Predictions(predictions) => predictions.as_slice(),
            _ => &[],
        };
        predictions.iter().filter_map(|p| p.ok())
    }
}

/// The valid boxes that a completion predicts, in its order. Text that says nothing of the kind gives none.
pub fn parse_detections(text: &str) -> Vec<Detection> {
    answer_text(text).map_or_else(Vec::new, |answer| read_detections(answer).detections().collect())
}

/// Reads an answer like `[{'Position': [x1, y1, x2, y2], 'Confidence': 0.9}, ...]`.
///
/// Forgiving about what carries no meaning: either kind of quotes, the case of the keys, trailing commas, doubled
/// brackets, prose and code fences around the list; an object that the text ends in the middle of is left out.
pub fn read_detections(answer: &str) -> Reading {
    let answer = head(answer);
    if says_nothing(answer) {
        return Reading::Nothing;
    }
    let mut predictions = Vec::new();
    for object in objects(answer) {
        collect(&object, &mut predictions);
    }
    match predictions.is_empty() {
        true => Reading::Unreadable,
        false => Reading::Predictions(predictions),
    }
}

/// The box of an object with a `Position`, as ground truth has it: the confidence does not matter.
pub(crate) fn bbox(object: &Value) -> Result<BBox, Flaw> {
    let Some(position) = object.get("Position") else { return Err(Flaw::NoPosition) };
    let Value::List(items) = position else { return Err(Flaw::Arity) };
    let [Value::Number(x1), Value::Number(y1), Value::Number(x2), Value::Number(y2)] = items[..]
    else {
        return Err(Flaw::Arity);
    };
    BBox::try_new([x1, y1, x2, y2])
}

/// All objects that stand in the text, outermost ones only.
pub(crate) fn objects(text: &str) -> impl Iterator<Item = Value> {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            rest = &rest[rest.find('{')?..];
            match value::read(rest) {
                Some((object, after)) => {
                    rest = after;
                    return Some(object);
                }
                None => rest = &rest[1..],
            }
        }
    })
}

/// Whether an answer states that there is no object.
pub(crate) fn says_nothing(answer: &str) -> bool {
    let letters: String =
        answer.chars().filter(|c| c.is_ascii_alphanumeric() || "[]{}".contains(*c)).collect();
    ["noobjects", "noobject", "[]", "json[]"].iter().any(|text| letters.eq_ignore_ascii_case(text))
}

fn collect(object: &Value, predictions: &mut Vec<Result<Detection, Flaw>>) {
    let before = predictions.len();
    if object.get("Position").is_none() {
        nested(object, predictions);
    }
    if predictions.len() == before {
        predictions.push(detection(object));
    }
}

/// Objects inside a wrapper, as in `{"objects": [{...}]}`.
fn nested(value: &Value, predictions: &mut Vec<Result<Detection, Flaw>>) {
    match value {
        Value::Object(fields) => {
            for (_, inner) in fields {
                nested_item(inner, predictions);
            }
        }
        Value::List(items) => items.iter().for_each(|inner| nested_item(inner, predictions)),
        _ => {}
    }
}

fn nested_item(value: &Value, predictions: &mut Vec<Result<Detection, Flaw>>) {
    match value {
        Value::Object(_) => collect(value, predictions),
        _ => nested(value, predictions),
    }
}

fn detection(object: &Value) -> Result<Detection, Flaw> {
    let bbox = bbox(object)?;
    match object.get("Confidence") {
        Some(&Value::Number(confidence)) if (0.0..=1.0).contains(&confidence) => {
            Ok(Detection { bbox, confidence })
        }
        Some(&Value::Number(confidence)) => Err(Flaw::Confidence(confidence)),
        _ => Err(Flaw::NoConfidence),
    }
}

fn head(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_ANSWER_BYTES)]
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
