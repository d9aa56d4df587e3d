//! Rows of tables and JSON lines that have no question in words: a picture with a class, or a box with what refers to it.
//! Boxes with the names of what is in them are read in `objects`.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::annotated::Marked;
use super::classes::{Classes, is_missing, whole};
use super::layouts::COMPLETION;
use super::objects;
use super::spellings::Spellings;
use super::worded;
use crate::forms::Open;
use crate::select::Selection;
use crate::{DatasetError, Question};

use super::fields::DraftTruth;

/// Key of the class of a picture.
pub(crate) const LABEL: &str = "label";
/// Key of a box around what is referred to.
pub(crate) const BBOX: &str = "bbox";
/// Keys of words that ask about a picture, or that its class depends on, and of what is answered to them: beside a class
/// none of them is read.
const QUESTIONS: [&str; 15] = [
    "question",
    "query",
    "prompt",
    "instruction",
    "user_prompt",
    "question_text",
    "text",
    "sentence",
    "sentences",
    "hypothesis",
    "expression",
    "expressions",
    "input",
    "utterance",
    "answer",
];
/// Keys of what refers to the box: a text, or a list of texts of which each is a question.
pub(crate) const EXPRESSIONS: [&str; 6] =
    ["expression", "expressions", "sentence", "sentences", "captions", "answer"];

/// A question and its answer without pictures, and what tells it from others about the same row.
pub(crate) type Asked = (Question, DraftTruth);

/// What is asked of such rows.
#[derive(Debug, Default)]
pub(crate) struct Asking {
    selection: Selection,
    classes: Classes,
    /// Names that the file has for its numbers, used where no list is given.
    own_names: Vec<Arc<str>>,
    spellings: Spellings,
    /// Classes that were seen.
    seen: BTreeSet<Arc<str>>,
    /// Whether a row asked in words of its own.
    has_words: bool,
    /// Keys of one meaning with different values in a row: the one that is read, and the other.
    twins: BTreeSet<(&'static str, &'static str)>,
}

impl Asking {
    /// # Errors
    /// A list of classes that cannot be read.
    pub(crate) fn new(selection: &Selection) -> Result<Self, DatasetError> {
        let classes = Classes::read(selection.classes.as_deref())?;
        Ok(Self { selection: selection.clone(), classes, ..Self::default() })
    }

    /// Notes that a row has a question in words.
    pub(crate) fn note_words(&mut self) {
        self.has_words = true;
    }

    /// Checks that what was to be asked about was there.
    ///
    /// # Errors
    /// A class that no row has; a choice among rows in words.
    pub(crate) fn check(&self, path: &Path) -> Result<(), DatasetError> {
        if self.selection.categories.is_empty() {
            return Ok(());
        }
        if self.has_words {
            let why = "data.categories chooses among annotated categories and labels; these rows ask in words of their own";
            return Err(super::content(path, "a choice of categories", why));
        }
        self.selection.among(path, &self.seen).map(drop)
    }

    /// What classes are called whose numbers the rows have, if no list says it.
    pub(crate) fn name_classes(&mut self, names: &[Arc<str>]) {
        if self.own_names.len() != names.len() {
            self.own_names = names.to_vec();
        }
    }

    /// What of its names should be known.
    pub(crate) fn notes(&self) -> Vec<String> {
        let twins = self.twins.iter().map(|(key, other)| read_beside("rows have", key, other));
        twins.chain(self.spellings.note()).collect()
    }

    /// Notes keys of a row that mean the same and say different things.
    pub(super) fn note_twins(&mut self, values: &Map<String, Value>) {
        self.twins.extend(objects::twins(values));
    }

    /// Whether a row is about a class alone, and its number is that of none: where numbers have names, -1 has none.
    pub(super) fn is_unlabeled(&self, values: &Map<String, Value>) -> bool {
        let label = values.get(LABEL).and_then(Value::as_f64);
        !is_reference(values) && label == Some(-1.0) && self.at(0).is_some()
    }

    /// The questions of a row that has none in words; none if its class is not asked about.
    ///
    /// # Errors
    /// What is missing or of another form.
    pub(crate) fn questions(&mut self, values: &Map<String, Value>) -> Result<Vec<Asked>, String> {
        let expressions = EXPRESSIONS.iter().find_map(|key| values.get(*key));
        if let (Some(bbox), Some(expressions)) = (values.get(BBOX), expressions) {
            return self.references(bbox, expressions, worded::size(values));
        }
        let name = self.class(values.get(LABEL).unwrap_or(&Value::Null))?;
        let asked = (Question::Class, DraftTruth::Text(name.clone()));
        Ok(if self.selection.has(&name) { vec![asked] } else { Vec::new() })
    }

    /// All names that may be asked about: those that were seen, and those that a list or the file has.
    pub(crate) fn known(&self) -> BTreeSet<Arc<str>> {
        let listed = (0..).map_while(|number| self.at(number));
        self.seen.iter().cloned().chain(listed).collect()
    }

    /// What is chosen of the questions.
    pub(crate) fn selection(&self) -> &Selection {
        &self.selection
    }

    /// A class by the one spelling that it has here.
    ///
    /// # Errors
    /// As [`Asking::questions`].
    pub(crate) fn class(&mut self, label: &Value) -> Result<Arc<str>, String> {
        let name = self.name(label)?;
        let name = self.spellings.of(&name);
        self.seen.insert(name.clone());
        Ok(name)
    }

    /// A name, or the number of one from 0, as Hugging Face's `ClassLabel` counts.
    fn name(&self, label: &Value) -> Result<Arc<str>, String> {
        match label {
            // As a feature of one class or several has it.
            Value::Array(list) if list.len() == 1 => self.name(&list[0]),
            Value::Array(list) if list.iter().all(|one| one.is_string() || one.is_number()) => {
                Err(format!(
                    "it has {} classes, {label}, and a picture is asked for one: keep the right one, or write a problem and a \
                     solution in words",
                    list.len()
                ))
            }
            Value::String(key) if key.trim().is_empty() => {
                Err("its class is an empty text".to_owned())
            }
            Value::String(key) if is_missing(key) => {
                Err(format!("its class {key:?} stands for none"))
            }
            Value::String(key) => self
                .classes
                .name(key)
                .ok_or_else(|| format!("class {key:?} is not in data.classes")),
            Value::Number(number) => {
                let name = whole(&number.to_string())
                    .and_then(|number| self.at(usize::try_from(number).ok()?));
                name.ok_or_else(|| {
                    if self.classes.is_given() {
                        format!("class {number} is not in data.classes, which counts from 0 here")
                    } else if !self.own_names.is_empty() {
                        format!(
                            "class {number} is outside of the {} names that the file has for its classes, which count from 0: \
                             data.classes names others",
                            self.own_names.len()
                        )
                    } else {
                        format!(
                            "label {number} is a number: a list of names has to name it (data.classes; of `vrft new`, --classes)"
                        )
                    }
                })
            }
            other => Err(format!("{LABEL:?} should be text or a number, got {other}")),
        }
    }

    fn at(&self, number: usize) -> Option<Arc<str>> {
        if self.classes.is_given() {
            self.classes.at(number)
        } else {
            self.own_names.get(number).cloned()
        }
    }

    fn references(
        &self,
        bbox: &Value,
        expressions: &Value,
        size: Option<(f64, f64)>,
    ) -> Result<Vec<Asked>, String> {
        let numbers: Option<Vec<f64>> =
            bbox.as_array().and_then(|list| list.iter().map(Value::as_f64).collect());
        let numbers = numbers
            .and_then(|numbers| <[f64; 4]>::try_from(numbers).ok())
            .ok_or_else(|| format!("{BBOX:?} should be four numbers, got {bbox}"))?;
        let truth = || {
            let mut marked = Marked::default();
            marked.push(numbers, None);
            DraftTruth::Boxes { marked, size, open: Some(Open::default()) }
        };
        let texts = match expressions {
            Value::Array(list) => list.iter().map(Value::as_str).collect(),
            one => one.as_str().map(|text| vec![text]),
        };
        let texts = texts.filter(|texts| !texts.is_empty());
        let texts =
            texts.ok_or_else(|| format!("an expression should be text, got {expressions}"))?;
        let n_asked = if self.selection.first_question { 1 } else { texts.len() };
        let asked = texts.iter().take(n_asked);
        asked.map(|text| Ok((Question::Expression(text.trim().into()), truth()))).collect()
    }
}

/// That of two keys or columns of one meaning the first is read.
pub(super) fn read_beside(have: &str, key: &str, other: &str) -> String {
    format!(
        "{have} {key:?} and {other:?}, which say different things: {key:?} is read, and {other:?} is not"
    )
}

/// Checks that a row without a question that is read has none that would be left out.
///
/// # Errors
/// It has one under a key that is not read beside a class.
pub(super) fn check_words(values: &Map<String, Value>) -> Result<(), String> {
    let is_text = |text: &str| !text.trim().is_empty() && !is_missing(text.trim());
    let has_words = |value: &Value| match value {
        Value::String(text) => is_text(text),
        Value::Array(list) => !list.is_empty(),
        _ => false,
    };
    let mut classes = std::iter::once(objects::OBJECTS).chain(objects::NAMES);
    let class = classes.find(|key| values.contains_key(*key)).unwrap_or(LABEL);
    let asked = values.iter().find(|(key, value)| is_words(key) && has_words(value));
    asked.map_or(Ok(()), |(key, _)| Err(asks_itself(key, class)))
}

/// That words would be left out.
pub(super) fn asks_itself(key: &str, class: &str) -> String {
    format!(
        "it has {key:?} beside {class:?}, which is not read there: if the row asks a question of its own, call that \"problem\" \
         and its true answer \"solution\"; or take {key:?} out where the picture alone tells the class"
    )
}

/// Whether a field of this name has words that are not read beside a class.
pub(super) fn is_words(name: &str) -> bool {
    QUESTIONS.iter().any(|key| key.eq_ignore_ascii_case(name))
}

/// Whether the row has a box and words that refer to it.
pub(crate) fn is_reference(values: &Map<String, Value>) -> bool {
    values.contains_key(BBOX) && EXPRESSIONS.iter().any(|key| values.contains_key(*key))
}

/// Whether a row of these keys has no question in words, but one of the other forms.
pub(crate) fn is_one(has: impl Fn(&str) -> bool) -> bool {
    // A prompt that nothing answers is no question of its own beside a class, and told so.
    let is_of_class =
        |key: &str| key == "prompt" && has(LABEL) && !has(COMPLETION) && !has("solution");
    let has_turns = |key: &&str| has(key) && !is_of_class(key);
    let is_worded = has("problem") || super::conversation::CONVERSATION_KEYS.iter().any(has_turns);
    let has_reference = has(BBOX) && EXPRESSIONS.iter().any(|key| has(key));
    !is_worded && (has(LABEL) || has_reference || objects::is_one(has))
}
