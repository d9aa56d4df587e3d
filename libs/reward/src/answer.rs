//! What an answer says, once its text is read; the truth is one too.

use crate::{Flaw, Item};

/// An answer, predicted or true.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// That there is nothing.
    Nothing,
    /// Places, one by one.
    Items(Items),
    /// A name or any other text.
    Words(String),
    /// A number.
    Number(f64),
    /// The numbers 1 to n in some order.
    Order(Vec<usize>),
}

/// The items of an answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Items {
    /// Those that are valid, in the order of the answer.
    pub valid: Vec<Item>,
    /// What is wrong with each of the others. They count as predictions and earn nothing.
    pub flaws: Vec<Flaw>,
    /// Which of the valid ones is meant.
    pub target: Option<usize>,
}

impl Items {
    /// Number of items, valid or not.
    pub fn len(&self) -> usize {
        self.valid.len() + self.flaws.len()
    }

    /// Whether there is no item at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Answer {
    /// The items; none for an answer of another kind, or for "nothing".
    pub fn items(&self) -> &[Item] {
        match self {
            Answer::Items(items) => &items.valid,
            _ => &[],
        }
    }

    /// What is said in words: a name or a text, or the labels of the items one after the other; `None` without any.
    pub fn words(&self) -> Option<String> {
        let words = match self {
            Answer::Words(words) => words.clone(),
            Answer::Items(items) => {
                let labels = items.valid.iter().filter_map(|item| item.label.as_deref());
                labels.collect::<Vec<_>>().join(", ")
            }
            _ => String::new(),
        };
        (!words.trim().is_empty()).then_some(words)
    }

    /// Number of items, the invalid ones included.
    pub fn n_items(&self) -> usize {
        match self {
            Answer::Items(items) => items.len(),
            _ => 0,
        }
    }
}
