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
        for (name, _) in values.iter().filter(|(_, value)| !value.is_null()) {
            let known = &mut self.known[usize::from(is_unworded)];
            if known.contains(name) || self.names.contains(name) {
                continue;
            }
            let is_read = is_of_all(name)
                || if is_unworded { is_of_class(name, values) } else { is_of_words(name, values) };
            let names = if is_read { known } else { &mut self.names };
            names.insert(name.clone());
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

fn is_of_all(name: &str) -> bool {
    OF_ALL.contains(&name) || VIDEO_KEYS.contains(&name) || split_column::is_one(name)
}

/// Whether a field is looked at in a row that asks nothing in words. What refers to a box is nothing without one.
fn is_of_class(name: &str, values: &Map<String, Value>) -> bool {
    let refers = || unworded::is_reference(values) && unworded::EXPRESSIONS.contains(&name);
    unworded::is_words(name) || objects::keys(|_| true).contains(&name) || refers()
}

/// Whether a field is looked at in a row that asks in words. Questions and answers of other layouts were put as a conversation
/// before, where they are what the row asks.
fn is_of_words(name: &str, values: &Map<String, Value>) -> bool {
    let is_turns = || values[name].is_array() && CONVERSATION_KEYS.contains(&name);
    let is_second_answer = name == worded::ANSWER && !values.contains_key("solution");
    let is_beside =
        layouts::BESIDE.contains(&name) || worded::is_read(name) || worded::is_flag(name);
    ["problem", objects::OBJECTS].contains(&name) || is_turns() || is_beside && !is_second_answer
}
