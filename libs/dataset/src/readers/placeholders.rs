//! Rows of ms-swift whose texts have `<ref-object>` and `<bbox>` in place of names and boxes, which stand in order under
//! `objects`: `{"ref": ["mug"], "bbox": [[x1, y1, x2, y2]]}`, in pixels of the picture, with `"bbox_type": "norm1"` in
//! shares of its sides; [`older`] has the form of before. Names are put in their places. Boxes are the true answer where the answer is made of them; within
//! other words they are refused, since how a model writes a box is not known here.

mod older;

use std::sync::Arc;

use serde_json::{Map, Value};
use vrft_messages::{Part, Turn};

use super::annotated::Marked;
use super::fields::DraftTruth;
use super::objects::OBJECTS;
use super::worded;
use crate::forms::Open;
use crate::{BboxForm, DataSpace};

/// What stands for a name, and for a box.
const NAME: &str = "<ref-object>";
const BOX: &str = "<bbox>";
/// What ends a box that is written out between tags, so that its start is no placeholder.
const BOX_END: &str = "</bbox>";
/// Tokens of models around names and boxes, and tags around an answer: no words.
const TOKENS: [&str; 11] = [
    "<|object_ref_start|>",
    "<|object_ref_end|>",
    "<|box_start|>",
    "<|box_end|>",
    "<ref>",
    "</ref>",
    "<box>",
    "</box>",
    "<answer>",
    "</answer>",
    "<|ref|>",
];
/// What may stand between boxes and their names.
const BETWEEN: [char; 16] = [
    ',', ';', ':', '.', '(', ')', '[', ']', '{', '}', '"', '\'', '-', '\u{ff0c}', '\u{3001}',
    '\u{3002}',
];
/// The end of thinking before an answer.
const THOUGHT: &str = "</think>";

/// An answer with its placeholders replaced.
#[derive(Debug)]
pub(super) enum Answer {
    /// It is words.
    Text(String),
    /// It is boxes.
    Boxes(DraftTruth),
}

/// What a row has for its placeholders.
struct Given {
    names: Vec<Arc<str>>,
    boxes: Vec<[f64; 4]>,
    space: Option<DataSpace>,
    /// Width and height of the picture, where they are there.
    size: Option<(f64, f64)>,
    /// Names and boxes that were put in their places.
    n_names: usize,
    n_boxes: usize,
}

/// Puts names into the turns, and names or boxes into the answer.
///
/// # Errors
/// Placeholders without objects, or another number of them; boxes within words; boxes that are no four numbers.
pub(super) fn replace(
    values: &Map<String, Value>,
    turns: &mut [Turn],
    answer: String,
) -> Result<Answer, String> {
    let texts = turns.iter().flat_map(|turn| &turn.parts).filter_map(|part| match part {
        Part::Text(text) => Some(text.as_str()),
        Part::Image => None,
    });
    let in_turns = |what: &str| texts.clone().any(|text| text.contains(what));
    let objects = older::as_today(values.get(OBJECTS).unwrap_or(&Value::Null))?;
    let objects =
        objects.filter(|objects| objects.contains_key("ref") || objects.contains_key("bbox"));
    let has_box = answer.contains(BOX) && !answer.contains(BOX_END);
    let Some(objects) = objects else {
        let found = [(NAME, answer.contains(NAME) || in_turns(NAME)), (BOX, has_box)];
        return match found.iter().find(|(_, is_there)| *is_there) {
            None => Ok(Answer::Text(answer)),
            Some((what, _)) => Err(format!(
                "it has {what}, and no {OBJECTS:?} that says what to put there: expected {{\"ref\": [\"mug\"], \"bbox\": \
                 [[x1, y1, x2, y2]]}}"
            )),
        };
    };
    if !has_box && !answer.contains(NAME) && !in_turns(NAME) && !in_turns(BOX) {
        return Ok(Answer::Text(answer));
    }
    if in_turns(BOX) && !in_turns(BOX_END) {
        return Err(format!(
            "its question has {BOX}, which is replaced in answers alone: how a box is written in a question is up to the \
             model, so write it there, as in \"What is in [120, 88, 430, 610]?\""
        ));
    }
    let mut given = Given::of(&objects)?;
    let size = worded::size(values).or_else(|| worded::size(&objects));
    given.size = size.filter(|_| given.space == Some(DataSpace::Pixels));
    let asked = given.names.len().min(texts.map(|text| text.matches(NAME).count()).sum());
    for part in turns.iter_mut().flat_map(|turn| &mut turn.parts) {
        if let Part::Text(text) = part {
            *text = given.named(text)?;
        }
    }
    let answer =
        if has_box { given.boxes_of(&answer, asked)? } else { Answer::Text(given.named(&answer)?) };
    given.check()?;
    Ok(answer)
}

impl Given {
    fn of(objects: &Map<String, Value>) -> Result<Self, String> {
        let list = |key: &str| objects.get(key).and_then(Value::as_array).into_iter().flatten();
        let name = |name: &Value| match name.as_str() {
            Some(name) => Ok(Arc::from(name)),
            None => Err(format!("\"ref\" of {OBJECTS:?} should be a list of names, got {name}")),
        };
        let numbers = |value: &Value| -> Result<[f64; 4], String> {
            let list = value.as_array().into_iter().flatten();
            let numbers: Option<Vec<f64>> = list.map(Value::as_f64).collect();
            <[f64; 4]>::try_from(numbers.unwrap_or_default()).map_err(|other| match other.len() {
                2 => format!(
                    "\"bbox\" of {OBJECTS:?} has the point {value}, and boxes are read: write the answer out, as \
                     [{{\"point_2d\": {value}, \"label\": \"mug\"}}] (data.space = \"pixels\")"
                ),
                _ => format!("\"bbox\" of {OBJECTS:?} should be lists of four numbers, got {value}"),
            })
        };
        let space = match objects.get("bbox_type").unwrap_or(&Value::Null) {
            Value::Null => DataSpace::Pixels,
            Value::String(kind) if kind == "real" => DataSpace::Pixels,
            Value::String(kind) if ["norm1", "norm_1"].contains(&kind.as_str()) => DataSpace::Unit,
            Value::String(kind) if kind == "norm_1000" => DataSpace::Thousandths,
            other => {
                return Err(format!(
                    "\"bbox_type\" of {OBJECTS:?} should be \"real\" (pixels) or \"norm1\" (0 to 1), got {other}"
                ));
            }
        };
        let image = objects.get("image_id").unwrap_or(&Value::Null);
        let mut images = image.as_array().map_or_else(|| vec![image], |list| list.iter().collect());
        images.retain(|image| !image.is_null());
        if images.iter().any(|image| image.as_f64() != Some(0.0)) {
            return Err(format!(
                "\"image_id\" of {OBJECTS:?} is {image}: boxes of a true answer are on the first picture of the row"
            ));
        }
        Ok(Self {
            names: list("ref").map(name).collect::<Result<_, _>>()?,
            boxes: list("bbox").map(numbers).collect::<Result<_, _>>()?,
            space: Some(space),
            size: None,
            n_names: 0,
            n_boxes: 0,
        })
    }

    /// The next name.
    fn name(&mut self) -> Result<Arc<str>, String> {
        self.n_names += 1;
        let n = self.names.len();
        let too_many =
            || format!("its text has more {NAME} than \"ref\" of {OBJECTS:?} has names, {n}");
        self.names.get(self.n_names - 1).cloned().ok_or_else(too_many)
    }

    /// A text with names in their places.
    fn named(&mut self, text: &str) -> Result<String, String> {
        let mut pieces = text.split(NAME);
        let mut named = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            named += &self.name()?;
            named += piece;
        }
        Ok(named)
    }

    /// The next box.
    fn next_box(&mut self) -> Result<[f64; 4], String> {
        self.n_boxes += 1;
        let n = self.boxes.len();
        let too_many =
            || format!("its text has more {BOX} than \"bbox\" of {OBJECTS:?} has boxes, {n}");
        self.boxes.get(self.n_boxes - 1).copied().ok_or_else(too_many)
    }

    /// An answer of boxes; a name belongs to the boxes behind it, in an object to that of the object. Boxes without a name
    /// are what the question names, where that is one of `asked` names.
    fn boxes_of(&mut self, answer: &str, asked: usize) -> Result<Answer, String> {
        let (thinking, answer) = answer.rsplit_once(THOUGHT).unwrap_or(("", answer));
        if thinking.contains(BOX) || thinking.contains(NAME) {
            return Err(format!(
                "its thinking has {BOX} or {NAME}, which are replaced in the answer alone"
            ));
        }
        let bare = TOKENS.iter().fold(answer.to_owned(), |text, token| text.replace(token, ""));
        let labels = match labels_in_json(&bare, self)? {
            Some(labels) => labels,
            None => self.labels_in_words(&bare)?,
        };
        let boxes = labels.iter().map(|_| self.next_box()).collect::<Result<Vec<_>, _>>()?;
        let of_question = (asked == 1).then(|| self.names[0].clone());
        // Names that no text has are those of the boxes, in their order.
        let is_parallel = self.n_names == 0 && self.names.len() == boxes.len();
        if is_parallel {
            self.n_names = self.names.len();
        }
        let mut marked = Marked::default();
        for (idx, (numbers, label)) in boxes.into_iter().zip(labels).enumerate() {
            marked.push(numbers, None);
            let of_list = self.names.get(idx).filter(|_| is_parallel).cloned();
            let label = label.or(of_list).or_else(|| of_question.clone());
            marked.labels.push(label.unwrap_or_else(|| "".into()));
        }
        let open = Some(Open { form: Some(BboxForm::Corners), space: self.space });
        Ok(Answer::Boxes(DraftTruth::Boxes { marked, size: self.size, open }))
    }

    /// What the boxes of a text are called, which has nothing but boxes, names and what sets them apart.
    fn labels_in_words(&mut self, text: &str) -> Result<Vec<Option<Arc<str>>>, String> {
        let mut labels = Vec::new();
        let mut name = None;
        for (idx, piece) in text.split(BOX).enumerate() {
            if idx > 0 {
                labels.push(name.clone());
            }
            for (idx, words) in piece.split(NAME).enumerate() {
                if idx > 0 {
                    name = Some(self.name()?);
                }
                if let Some(word) = words
                    .split(|c: char| c.is_whitespace() || BETWEEN.contains(&c))
                    .find(|word| !word.is_empty())
                {
                    return Err(format!(
                        "its answer has {BOX} among other words, as {word:?}: a reward compares boxes or words, so leave \
                         the boxes alone ({NAME}{BOX}, or [{{\"bbox_2d\": {BOX}, \"label\": \"{NAME}\"}}]), or the words"
                    ));
                }
            }
        }
        Ok(labels)
    }

    /// Checks that all names and boxes found their places.
    fn check(&self) -> Result<(), String> {
        let of = |what: &str, key: &str, n: usize, placed: usize| {
            format!(
                "{key:?} of {OBJECTS:?} has {n} entries, and its text has {what} {placed} times"
            )
        };
        if self.n_boxes < self.boxes.len() {
            return Err(of(BOX, "bbox", self.boxes.len(), self.n_boxes));
        }
        if self.n_names < self.names.len() && self.n_names > 0 {
            return Err(of(NAME, "ref", self.names.len(), self.n_names));
        }
        Ok(())
    }
}

/// What the boxes of an answer in JSON are called, as `[{"bbox_2d": <bbox>, "label": "<ref-object>"}]`; `None` for an answer
/// that is not of this form.
fn labels_in_json(text: &str, given: &mut Given) -> Result<Option<Vec<Option<Arc<str>>>>, String> {
    let plain = text.replace(&format!("\"{BOX}\""), "null").replace(BOX, "null");
    let Ok(value) = serde_json::from_str::<Value>(plain.trim()) else { return Ok(None) };
    let list = match value {
        Value::Array(list) => list,
        one => vec![one],
    };
    let objects: Option<Vec<&Map<String, Value>>> = list.iter().map(Value::as_object).collect();
    let Some(objects) = objects else { return Ok(None) };
    let n_boxes =
        |object: &&Map<String, Value>| object.values().filter(|v| v.is_null()).count() == 1;
    if objects.len() != text.matches(BOX).count() || !objects.iter().all(n_boxes) {
        return Ok(None);
    }
    let label = |object: &Map<String, Value>| {
        let label = object.values().find_map(Value::as_str);
        let label = label.map(|label| given.named(label)).transpose()?;
        Ok(label.map(Arc::from))
    };
    objects.into_iter().map(label).collect::<Result<Vec<_>, String>>().map(Some)
}

#[cfg(test)]
mod tests;
