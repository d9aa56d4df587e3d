//! Questions with their true answers, as a kind of answer looks at them to see whether it fits.

use std::collections::{BTreeMap, BTreeSet};

use super::ItemKeys;
use crate::geometry::Space;
use crate::infer::space::{Evidence, guess};
use crate::text::find::{numbers, objects};
use crate::text::value::Value;

/// A question, its true answer, and the size of the image that it is about.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Example<'a> {
    /// Where it stands, as in `row 7`.
    pub place: &'a str,
    /// The question of the example.
    pub question: &'a str,
    /// The true answer, as the data has it.
    pub solution: &'a str,
    /// Width and height of the image in pixels, where they are known. Without them pixels cannot be told from
    /// thousandths.
    pub size: Option<[u32; 2]>,
}

/// Examples without those that say "nothing".
pub(crate) struct Examples<'a> {
    questions: Vec<String>,
    answers: Vec<&'a str>,
    /// Size of the image of each answer.
    sizes: Vec<Option<[u32; 2]>>,
    objects: Objects,
}

/// What the objects in the answers hold under their keys.
struct Objects {
    /// Whether every answer has one.
    are_everywhere: bool,
    /// Length of the lists of numbers.
    lists: BTreeMap<String, usize>,
    /// Keys of numbers, in their order.
    scalars: Vec<String>,
    /// Keys whose values are texts.
    texts: BTreeSet<String>,
}

impl<'a> Examples<'a> {
    /// Examples by their questions and what stands in the answer blocks of their solutions.
    pub(crate) fn new(examples: &[(Example<'a>, &'a str)]) -> Self {
        let answers: Vec<&str> = examples.iter().map(|(_, answer)| *answer).collect();
        Self {
            questions: examples.iter().map(|(e, _)| e.question.to_lowercase()).collect(),
            objects: Objects::of(&answers),
            answers,
            sizes: examples.iter().map(|(example, _)| example.size).collect(),
        }
    }

    pub(crate) fn n_answers(&self) -> usize {
        self.answers.len()
    }

    /// Whether something holds for all answers.
    pub(crate) fn all(&self, test: impl Fn(&str) -> bool) -> bool {
        self.answers.iter().all(|answer| test(answer))
    }

    /// The answers of the examples, each once.
    pub(crate) fn distinct(&self) -> BTreeSet<&'a str> {
        self.answers.iter().copied().collect()
    }

    /// Whether every answer has brackets.
    pub(crate) fn are_bracketed(&self) -> bool {
        self.all(|answer| answer.contains(['[', '(']))
    }

    /// Whether every answer has `n` numbers.
    pub(crate) fn have_numbers(&self, n: usize) -> bool {
        self.all(|answer| numbers(answer).count() == n)
    }

    /// Whether the numbers of every answer rise.
    pub(crate) fn are_rising(&self) -> bool {
        self.all(|answer| numbers(answer).collect::<Vec<_>>().is_sorted())
    }

    /// Whether a question has one of these words.
    pub(crate) fn ask_for(&self, words: &[&str]) -> bool {
        self.questions.iter().any(|question| words.iter().any(|word| question.contains(word)))
    }

    /// The key of a number whose name has this word in it, where every answer has objects.
    pub(crate) fn key_of(&self, word: &str) -> Option<String> {
        let key = self.objects.scalars.iter().find(|key| key.to_lowercase().contains(word));
        key.filter(|_| self.objects.are_everywhere).cloned()
    }

    /// The keys of coordinates, confidence and label, and how many numbers the coordinates are, where every answer has
    /// objects.
    pub(crate) fn item_keys(&self) -> Option<(ItemKeys, usize)> {
        self.objects.are_everywhere.then_some(())?;
        let (place, n) = self.objects.lists.iter().next()?;
        let confidence = self.key_of("conf").or_else(|| self.key_of("score")).unwrap_or_default();
        let label = self.objects.texts.first().cloned().unwrap_or_default();
        Some((ItemKeys { place: place.clone(), confidence, label }, *n))
    }

    /// The space that the coordinates are most likely in; the usual one if they are in several.
    pub(crate) fn space(&self) -> Space {
        guess(&self.evidence()).map_or(Space::default(), |guess| guess.space)
    }

    /// The coordinates of each answer beside the size of its image.
    pub(crate) fn evidence(&self) -> Vec<Evidence> {
        let place = self.objects.lists.keys().next().filter(|_| self.objects.are_everywhere);
        let of = |answer: &str| match place {
            None => numbers(answer).collect(),
            Some(key) => {
                let mut found = Vec::new();
                for object in objects(answer) {
                    coordinates(&object, key, &mut found);
                }
                found
            }
        };
        let each = self.answers.iter().zip(&self.sizes);
        each.map(|(answer, size)| Evidence { coordinates: of(answer), size: *size }).collect()
    }
}

/// The numbers under a key, in an object or in those within it.
fn coordinates(object: &Value, key: &str, found: &mut Vec<f64>) {
    let Value::Object(fields) = object else { return };
    for (name, value) in fields {
        match value.numbers() {
            Some(numbers) if name == key => found.extend(numbers),
            _ => inner_objects(value).into_iter().for_each(|o| coordinates(o, key, found)),
        }
    }
}

impl Objects {
    fn of(answers: &[&str]) -> Self {
        let mut all = Self {
            are_everywhere: answers.iter().all(|answer| answer.contains('{')),
            lists: BTreeMap::new(),
            scalars: Vec::new(),
            texts: BTreeSet::new(),
        };
        answers.iter().flat_map(|answer| objects(answer)).for_each(|object| all.collect(&object));
        all
    }

    /// Notes the keys of an object; one that holds objects is a wrapper, and these are what counts.
    fn collect(&mut self, object: &Value) {
        let Value::Object(fields) = object else { return };
        for (key, value) in fields {
            let inner = inner_objects(value);
            match value.numbers() {
                _ if !inner.is_empty() => inner.into_iter().for_each(|inner| self.collect(inner)),
                Some(list) if matches!(value, Value::List(_)) => {
                    self.lists.insert(key.clone(), list.len());
                }
                _ if value.number().is_some() => {
                    if !self.scalars.contains(key) {
                        self.scalars.push(key.clone());
                    }
                }
                _ => {
                    self.texts.insert(key.clone());
                }
            }
        }
    }
}

/// A value that is an object, or the objects in a list.
fn inner_objects(value: &Value) -> Vec<&Value> {
    match value {
        Value::Object(_) => vec![value],
        Value::List(items) => items.iter().flat_map(inner_objects).collect(),
        _ => Vec::new(),
    }
}
