//! Questions with their true answers, as a kind of answer looks at them to see whether it fits.

use std::collections::{BTreeMap, BTreeSet};

use super::{AxisOrder, ItemKeys};
use crate::geometry::Space;
use crate::infer::space::{Evidence, guess};
use crate::text::find::{lists, numbers, objects};
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

/// What the objects in the answers hold under their keys. A few values that are not as those of the other objects, as a
/// coordinate that is missing, change nothing of it.
struct Objects {
    /// Whether every answer has one.
    are_everywhere: bool,
    /// The key of the coordinates, and how many these are; `None` too where objects have such lists under several keys, as
    /// one for each category.
    place: Option<(String, usize)>,
    /// Keys of numbers, in their order.
    scalars: Vec<String>,
    /// The key of the label.
    text: Option<String>,
    /// Other keys of texts, as of a color beside the label.
    further_texts: Vec<String>,
    /// Other keys of lists of numbers, as of a point beside the box.
    further_places: Vec<String>,
}

/// Keys that labels have, those that say so the most clearly first: of several keys with texts, one of these is that of the label.
const LABEL_KEYS: [&str; 8] =
    ["label", "category", "class", "category_name", "class_name", "name", "object", "type"];

/// Of several keys with texts one counts as that of labels only if nearly as many objects have it as have any.
const MIN_SHARE: f64 = 0.9;

/// How often a key has a value of either kind.
#[derive(Debug, Default)]
struct Counts {
    /// Where it was met first among all keys.
    order: usize,
    /// Lists of numbers, by their lengths.
    lists: BTreeMap<usize, usize>,
    n_lists: usize,
    /// Lists beside which the same object has another of the same length.
    n_beside: usize,
    n_numbers: usize,
    n_texts: usize,
}

impl Counts {
    /// The usual length of its lists, if they are what it mostly has.
    fn list(&self) -> Option<usize> {
        let is_list = self.n_lists > self.n_numbers.max(self.n_texts);
        let usual = self.lists.iter().max_by_key(|(_, n)| **n).map(|(length, _)| *length);
        usual.filter(|_| is_list)
    }

    /// Whether its lists mostly stand beside others of their kind.
    fn is_one_of_several(&self) -> bool {
        2 * self.n_beside > self.n_lists
    }
}

/// How many coordinates a value is: numbers in a list, or two corners of two numbers each. `None` for anything else, as
/// outlines.
fn n_coordinates(value: &Value) -> Option<usize> {
    let Value::List(items) = value else { return None };
    let is_number = |value: &Value| matches!(value, Value::Number(_));
    let is_corner = |value: &Value| matches!(value, Value::List(xy) if xy.len() == 2 && xy.iter().all(is_number));
    let are_corners = items.len() == 2 && items.iter().all(is_corner);
    match (items.iter().all(is_number), are_corners) {
        (true, _) => Some(items.len()),
        (false, true) => Some(4),
        (false, false) => None,
    }
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
        let (place, n) = self.objects.place.clone()?;
        let confidence = self.key_of("conf").or_else(|| self.key_of("score")).unwrap_or_default();
        let label = self.objects.text.clone().unwrap_or_default();
        Some((ItemKeys { place, confidence, label }, n))
    }

    /// That objects have texts beside their labels, or further places, to be said behind what an answer is; nothing where they
    /// have none.
    pub(crate) fn further(&self) -> String {
        let quoted =
            |keys: &[String]| keys.iter().map(|key| format!("{key:?}")).collect::<Vec<_>>();
        let places = quoted(&self.objects.further_places).join(" and ");
        let places = if places.is_empty() {
            places
        } else {
            format!(" (what is under {places} is not asked for)")
        };
        self.further_texts(&quoted(&self.objects.further_texts)) + &places
    }

    fn further_texts(&self, keys: &[String]) -> String {
        match (&self.objects.text, keys) {
            (Some(label), [_, ..]) => format!(
                ", called by what is under {label:?} (what is under {} is not asked for; reward.answer.keys.label names another)",
                keys.join(" and ")
            ),
            _ => String::new(),
        }
    }

    /// The space that the coordinates are most likely in; the usual one if they are in several.
    pub(crate) fn space(&self) -> Space {
        guess(&self.evidence()).map_or(Space::default(), |guess| guess.space)
    }

    /// The coordinates of each answer, x and y in turn, beside the size of its image.
    pub(crate) fn evidence(&self) -> Vec<Evidence> {
        let place = self.objects.place.as_ref().filter(|_| self.objects.are_everywhere);
        let place = place.map(|(key, _)| key);
        let of = |answer: &str| match place {
            None => listed(answer),
            Some(key) => {
                let mut found = Vec::new();
                for object in objects(answer) {
                    coordinates(&object, key, &mut found);
                }
                AxisOrder::of(None, Some(key)).exchanged(found)
            }
        };
        let each = self.answers.iter().zip(&self.sizes);
        each.map(|(answer, size)| Evidence { coordinates: of(answer), size: *size }).collect()
    }
}

/// The numbers within brackets, as those of a place are; what stands beside these, as in `a car of 1990`, is none of them. All
/// numbers of an answer without brackets.
fn listed(answer: &str) -> Vec<f64> {
    let within: Vec<f64> = lists(answer).filter_map(|list| list.numbers()).flatten().collect();
    if within.is_empty() { numbers(answer).collect() } else { within }
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
        let mut counts = BTreeMap::new();
        let found = answers.iter().flat_map(|answer| objects(answer));
        found.for_each(|object| collect(&object, &mut counts));
        // A few objects under another key, as `bbox` among `bbox_2d`, are mistakes, and not what the others are read by.
        let lists = counts.iter().filter_map(|(key, counts)| Some((key, counts, counts.list()?)));
        let place = lists.rev().max_by_key(|(_, counts, _)| counts.n_lists);
        let place = place.filter(|(_, counts, _)| !counts.is_one_of_several());
        let place = place.map(|(key, _, n)| (key.clone(), n));
        let n_places = place.as_ref().map_or(0, |(key, _)| counts[key].n_lists);
        let is_beside = |(key, counts): &(&String, &Counts)| {
            place.as_ref().is_some_and(|(place, _)| place != *key)
                && counts.list().is_some()
                && counts.n_lists as f64 >= MIN_SHARE * n_places as f64
        };
        let further_places = counts.iter().filter(is_beside).map(|(key, _)| key.clone()).collect();
        let mut scalars: Vec<(usize, String)> = Vec::new();
        let mut texts: Vec<(&String, &Counts)> = Vec::new();
        for (key, counts) in &counts {
            if counts.list().is_some() {
                continue;
            }
            if counts.n_numbers > counts.n_texts {
                scalars.push((counts.order, key.clone()));
            } else if counts.n_texts > 0 {
                texts.push((key, counts));
            }
        }
        scalars.sort();
        let text = label(&texts);
        let further = texts.iter().map(|(key, _)| *key).filter(|key| Some(*key) != text);
        Self {
            are_everywhere: answers.iter().all(|answer| answer.contains('{')),
            place,
            scalars: scalars.into_iter().map(|(_, key)| key).collect(),
            text: text.cloned(),
            further_texts: further.cloned().collect(),
            further_places,
        }
    }
}

/// The key of the label among those of texts: one that says so, else the one that most objects have, of these the first one met.
fn label<'a>(texts: &[(&'a String, &Counts)]) -> Option<&'a String> {
    let most = texts.iter().map(|(_, counts)| counts.n_texts).max()?;
    let is_usual = |counts: &Counts| counts.n_texts as f64 >= MIN_SHARE * most as f64;
    let usual = texts.iter().filter(|(_, counts)| is_usual(counts));
    let rank = |(key, counts): &&(&String, &Counts)| {
        let key = key.to_lowercase();
        let known = LABEL_KEYS.iter().position(|known| *known == key);
        (known.unwrap_or(LABEL_KEYS.len()), most - counts.n_texts, counts.order)
    };
    usual.min_by_key(rank).map(|(key, _)| *key)
}

/// Counts the values of an object by their keys; one that holds objects is a wrapper, and these are what counts.
fn collect(object: &Value, counts: &mut BTreeMap<String, Counts>) {
    let Value::Object(fields) = object else { return };
    for (key, value) in fields {
        let inner = inner_objects(value);
        if !inner.is_empty() {
            inner.into_iter().for_each(|inner| collect(inner, counts));
            continue;
        }
        let order = counts.len();
        let of_key =
            counts.entry(key.clone()).or_insert_with(|| Counts { order, ..Counts::default() });
        match n_coordinates(value) {
            Some(n) => {
                let alike = fields.iter().filter(|(_, other)| n_coordinates(other) == Some(n));
                of_key.n_beside += usize::from(n >= 4 && alike.count() > 1);
                of_key.n_lists += 1;
                *of_key.lists.entry(n).or_default() += 1;
            }
            None if value.numbers().is_some() && matches!(value, Value::List(_)) => {}
            _ if value.number().is_some() => of_key.n_numbers += 1,
            _ => of_key.n_texts += 1,
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
