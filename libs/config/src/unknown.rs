//! Misspelled keys beside the first one, which is where a parser stops.

use std::collections::BTreeMap;

use toml::{Table, Value};

use crate::Section;

/// Keys that are looked for beside the first.
const MAX_OTHERS: usize = 10;

/// The further unknown keys of a table that has a section under its name, given the error of reading it.
pub(crate) fn others<S: Section>(mut whole: Table, error: &toml::de::Error) -> Vec<String> {
    let mut others = Vec::new();
    let Some(mut unknown) = named(error) else { return others };
    while others.len() < MAX_OTHERS {
        remove(&mut whole, &unknown);
        let Err(error) = whole.clone().try_into::<BTreeMap<String, S>>() else { break };
        let Some(next) = named(&error).filter(|next| *next != unknown && !others.contains(next))
        else {
            break;
        };
        others.push(next.clone());
        unknown = next;
    }
    others
}

/// Words that follow the message about the first; empty for none.
pub(crate) fn told(others: &[String]) -> String {
    if others.is_empty() {
        return String::new();
    }
    let names: Vec<String> = others.iter().map(|name| format!("`{name}`")).collect();
    format!("\nalso unknown: {}", names.join(", "))
}

/// The key that a parser does not know, by its message.
fn named(error: &toml::de::Error) -> Option<String> {
    let (_, rest) = error.message().split_once("unknown field `")?;
    rest.split_once('`').map(|(name, _)| name.to_owned())
}

/// Takes a key out of a table and all tables within it.
fn remove(table: &mut Table, key: &str) {
    table.remove(key);
    for (_, value) in table.iter_mut() {
        match value {
            Value::Table(inner) => remove(inner, key),
            Value::Array(items) => {
                let tables = items.iter_mut().filter_map(Value::as_table_mut);
                tables.for_each(|inner| remove(inner, key));
            }
            _ => {}
        }
    }
}
