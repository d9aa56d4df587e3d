//! Fields of rows that nothing is made of, told once for a file: one of them may hold what its author meant.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::conversation::CONVERSATION_KEYS;
use super::fields::FIRST;
use super::layouts;
use super::objects;
use super::split_column;
use super::unworded;
use super::videos::VIDEO_KEYS;
use super::worded;

/// Fields that rows of every layout have.
const OF_ALL: [&str; 9] =
    ["image", "images", "file_name", "solution", "sample_id", "id", "question_id", "system", FIRST];
/// Names that a note shows; some tables have dozens.
const N_SHOWN: usize = 8;

/// The names of such fields, in the order of the alphabet.
#[derive(Debug, Default)]
pub(crate) struct Unread {
    names: BTreeSet<String>,
    /// Names that were looked at, of rows that ask in words and of others.
    known: [BTreeSet<String>; 2],
}

impl Unread {
    /// Notes a field by its name.
    pub(super) fn note(&mut self, name: &str) {
        if !self.names.contains(name) {
            self.names.insert(name.to_owned());
        }
    }

    /// Notes the fields of a row that are something and not read.
    pub(super) fn note_row(&mut self, values: &Map<String, Value>, is_unworded: bool) {
        // What refers to a box is nothing without one.
        let refers = is_unworded && unworded::is_reference(values);
        for (name, value) in values {
            let known = &mut self.known[usize::from(is_unworded)];
            if known.contains(name) || value.is_null() || self.names.contains(name) {
                continue;
            }
            let is_expression = refers && unworded::EXPRESSIONS.contains(&name.as_str());
            if is_expression || is_read(name, is_unworded) {
                known.insert(name.clone());
            } else {
                self.names.insert(name.clone());
            }
        }
    }

    /// What should be known of them.
    pub(super) fn told(&self) -> Option<String> {
        let names: Vec<String> = self.names.iter().map(|name| format!("{name:?}")).collect();
        let more = names.len().saturating_sub(N_SHOWN);
        let others = if more > 0 { format!(" and {more} more") } else { String::new() };
        let shown = names.iter().take(N_SHOWN).cloned().collect::<Vec<_>>().join(", ");
        (!names.is_empty())
            .then(|| format!("rows also have {shown}{others}, which nothing is made of"))
    }
}

/// Whether a field of this name is looked at, in rows that ask nothing in words or in others.
fn is_read(name: &str, is_unworded: bool) -> bool {
    let is_of_both =
        OF_ALL.contains(&name) || VIDEO_KEYS.contains(&name) || split_column::is_one(name);
    let is_of_layout = if is_unworded {
        name == "question_id" || unworded::is_words(name) || objects::keys(|_| true).contains(&name)
    } else {
        name == "problem"
            || CONVERSATION_KEYS.contains(&name)
            || name == objects::OBJECTS
            || layouts::is_read(name)
            || worded::is_read(name)
            || worded::is_flag(name)
    };
    is_of_both || is_of_layout
}
