//! An answer before it is text: what a perfect policy means to say, or one that is off by a chosen amount.

use std::fmt;

use crate::rng::Rng;
use crate::{Answer, Item};

/// An item before it is text: its numbers and the other parts that its task may have.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sketch {
    pub(crate) numbers: Vec<f64>,
    pub(crate) label: String,
    pub(crate) confidence: f64,
    pub(crate) frame: u64,
    pub(crate) id: String,
}

/// An answer before it is text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Draft {
    /// Items, and which of them is meant. No item means "nothing".
    Items { items: Vec<Sketch>, target: usize },
    /// A name or a text.
    Text(String),
    /// A number.
    Number(f64),
    /// The numbers 1 to n in some order.
    Order(Vec<usize>),
}

impl Draft {
    /// An answer of one item alone.
    pub(crate) fn one(item: Sketch) -> Self {
        Draft::Items { items: vec![item], target: 0 }
    }

    /// A true answer as a draft; `None` for "nothing" and for regions, of which only a bitmap is known.
    pub(crate) fn of(truth: &Answer) -> Option<Self> {
        match truth {
            Answer::Nothing => None,
            Answer::Words(words) => Some(Draft::Text(words.clone())),
            Answer::Number(number) => Some(Draft::Number(*number)),
            Answer::Order(order) => Some(Draft::Order(order.clone())),
            Answer::Items(items) => {
                let sketches: Option<Vec<Sketch>> = items.valid.iter().map(Sketch::of).collect();
                Some(Draft::Items { items: sketches?, target: items.target.unwrap_or(0) })
            }
        }
    }

    /// The items; none for an answer of another form.
    pub(crate) fn items(&self) -> &[Sketch] {
        match self {
            Draft::Items { items, .. } => items,
            _ => &[],
        }
    }
}

impl Sketch {
    /// Nothing but numbers, without a doubt.
    pub(crate) fn at(numbers: Vec<f64>) -> Self {
        Self { numbers, label: String::new(), confidence: 1.0, frame: 0, id: String::new() }
    }

    fn of(item: &Item) -> Option<Self> {
        Some(Self {
            numbers: item.place.numbers()?,
            label: item.label.clone().unwrap_or_default(),
            confidence: 1.0,
            frame: item.frame.unwrap_or(0),
            id: item.id.clone().unwrap_or_default(),
        })
    }
}

/// The text of a draft that is one value; items are written by their kind.
impl fmt::Display for Draft {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Draft::Items { items, .. } => write!(f, "{} items", items.len()),
            Draft::Text(text) => f.write_str(text),
            Draft::Number(number) => write!(f, "{number}"),
            Draft::Order(order) => {
                let each: Vec<String> = order.iter().map(ToString::to_string).collect();
                f.write_str(&each.join(", "))
            }
        }
    }
}

/// Names for labels where none are declared.
pub(crate) const NAMES: [&str; 8] =
    ["bus", "train", "stop sign", "cat", "fire hydrant", "bed", "toilet", "dog"];

/// The declared names, or some where none are declared.
pub(crate) fn names(declared: &[String]) -> Vec<&str> {
    if declared.is_empty() { NAMES.to_vec() } else { declared.iter().map(String::as_str).collect() }
}

/// A name that is not this one.
pub(crate) fn other_name(name: &str, declared: &[String], rng: &mut Rng) -> String {
    let others: Vec<&str> = names(declared).into_iter().filter(|other| *other != name).collect();
    if others.is_empty() { format!("no {name}") } else { (*rng.pick(&others)).to_owned() }
}
