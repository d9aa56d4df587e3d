//! Reads answers that are made of items: objects with the declared keys, wherever they stand, or bare numbers.

use super::ItemKind;
use crate::answers::Author;
use crate::reading::quote;
use crate::text::find::{lists, numbers, objects};
use crate::text::json;
use crate::text::plain::plain;
use crate::text::value::Value;
use crate::{Answer, Flaw, Item, Items, RewardError, same_label};

/// Items of an answer that are looked at; further ones count as wrong.
const MAX_ITEMS: usize = 1000;

/// What is meant as an item: the item, or what is wrong with it and the keys of its object.
type Found = Result<Item, (Flaw, Vec<String>)>;

/// The items of a text; `None` if there are none.
pub(super) fn items(kind: &dyn ItemKind, text: &str, author: Author) -> Option<Items> {
    let (found, target) = all(kind, text, author);
    (!found.is_empty()).then(|| sort_out(found, target))
}

/// All that a text has of them in their order, and the number of the one that is meant.
fn all(kind: &dyn ItemKind, text: &str, author: Author) -> (Vec<Found>, Option<f64>) {
    let keys = kind.keys();
    let mut found = Vec::new();
    let mut target = None;
    for object in objects(text) {
        if let Some(key) = keys.target {
            target = object.get(key).and_then(Value::number).or(target);
        }
        collect(kind, &object, author, &mut found);
    }
    if found.is_empty() && keys.place.is_none() && keys.start.is_none() {
        let bare = kind.bare(text).into_iter();
        found = bare.map(|item| item.map_err(|flaw| (flaw, Vec::new()))).collect();
    }
    (found, target)
}

/// Valid ones and flaws apart; the target is counted among all.
fn sort_out(found: Vec<Found>, target: Option<f64>) -> Items {
    let mut items = Items::default();
    for (idx, item) in found.into_iter().enumerate() {
        match item {
            Ok(item) if idx < MAX_ITEMS => {
                if target == Some(idx as f64) {
                    items.target = Some(items.valid.len());
                }
                items.valid.push(item);
            }
            Ok(_) => items.flaws.push(Flaw::TooMany),
            Err((flaw, _)) => items.flaws.push(flaw),
        }
    }
    items
}

fn collect(kind: &dyn ItemKind, object: &Value, author: Author, found: &mut Vec<Found>) {
    let before = found.len();
    if !kind.is_item(object) {
        collect_nested(kind, object, author, found);
    }
    if found.len() == before {
        found.push(item(kind, object, author).map_err(|flaw| (flaw, names_in(object))));
    }
}

/// Objects inside a wrapper, as in `{"objects": [{...}]}`.
fn collect_nested(kind: &dyn ItemKind, value: &Value, author: Author, found: &mut Vec<Found>) {
    let inner: Vec<&Value> = match value {
        Value::Object(fields) => fields.iter().map(|(_, inner)| inner).collect(),
        Value::List(items) => items.iter().collect(),
        _ => return,
    };
    for inner in inner {
        match inner {
            Value::Object(_) => collect(kind, inner, author, found),
            _ => collect_nested(kind, inner, author, found),
        }
    }
}

/// Reads an item from an object with the declared keys.
fn item(kind: &dyn ItemKind, object: &Value, author: Author) -> Result<Item, Flaw> {
    let keys = kind.keys();
    let mut item = Item::at(kind.place_of(object)?);
    if let Some(key) = keys.confidence {
        item.confidence = confidence(object.get(key), author)?;
    }
    if let Some(key) = keys.label {
        item.label = object.get(key).and_then(words);
        let is_none = |label: &String| ["", "null", "None"].contains(&label.trim());
        if author == Author::Data && item.label.as_ref().is_none_or(is_none) {
            return Err(Flaw::NoLabel);
        }
    }
    if let Some(key) = keys.frame {
        item.frame = Some(frame(object.get(key))?);
    }
    if let Some(key) = keys.id {
        item.id = Some(object.get(key).and_then(words).ok_or(Flaw::NoId)?);
    }
    Ok(item)
}

fn confidence(value: Option<&Value>, author: Author) -> Result<Option<f64>, Flaw> {
    match value {
        Some(&Value::Number(confidence)) if (0.0..=1.0).contains(&confidence) => {
            Ok(Some(confidence))
        }
        Some(&Value::Number(confidence)) => Err(Flaw::Confidence(confidence)),
        _ if author == Author::Data => Ok(None),
        _ => Err(Flaw::NoConfidence),
    }
}

fn frame(value: Option<&Value>) -> Result<u64, Flaw> {
    let number = value.and_then(Value::number).ok_or(Flaw::NoFrame)?;
    let whole = number.fract() == 0.0 && (0.0..1e9).contains(&number);
    if whole { Ok(number as u64) } else { Err(Flaw::NoFrame) }
}

fn words(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Items of `arity` numbers each: bracketed, or alone in the text.
pub(crate) fn bare_numbers(
    kind: &dyn ItemKind,
    text: &str,
    arity: usize,
) -> Vec<Result<Item, Flaw>> {
    let lists: Vec<Value> = lists(text).collect();
    let numbers: Vec<f64> = if lists.is_empty() {
        numbers(text).take(arity + 1).collect()
    } else {
        lists.iter().filter_map(Value::numbers).flatten().collect()
    };
    if lists.is_empty() && numbers.len() != arity {
        return Vec::new();
    }
    let value = |chunk: &[f64]| Value::List(chunk.iter().copied().map(Value::Number).collect());
    numbers.chunks(arity).map(|chunk| kind.place_under(None, &value(chunk)).map(Item::at)).collect()
}

/// Items that are lists: one each, or all of them within one list, if `is_item` says so of each.
pub(crate) fn bare_lists(
    kind: &dyn ItemKind,
    text: &str,
    is_item: fn(&Value) -> bool,
) -> Vec<Result<Item, Flaw>> {
    let read = |value: &Value| kind.place(value).map(Item::at);
    let lists: Vec<Value> = lists(text).collect();
    match &lists[..] {
        [Value::List(items)] if !items.is_empty() && items.iter().all(is_item) => {
            items.iter().map(read).collect()
        }
        lists => lists.iter().map(read).collect(),
    }
}

/// Whether a text that was read is an answer to the letter.
pub(super) fn is_exact(kind: &dyn ItemKind, text: &str, reading: &Answer) -> bool {
    let Answer::Items(items) = reading else { return false };
    let keys = kind.keys();
    let is_counted = !kind.is_single() || items.len() == 1;
    let is_aimed = keys.target.is_none() || items.target.is_some();
    let is_named = keys.label.is_none() || items.valid.iter().all(|item| item.label.is_some());
    let is_whole = items.flaws.is_empty() && is_counted && is_aimed && is_named;
    is_whole && json::is_literal(text) && has_known_keys(kind, text)
}

/// Whether objects have the declared keys, spelled as declared, and no others.
fn has_known_keys(kind: &dyn ItemKind, text: &str) -> bool {
    let declared: Vec<&str> = kind.keys().declared().collect();
    let known = |key: &str| declared.contains(&key) || kind.further_keys().contains(&key);
    objects(text).all(|object| object.keys().iter().all(|key| known(key)))
}

/// Refuses a truth of which a part is not understood.
pub(super) fn check_truth(
    kind: &dyn ItemKind,
    text: &str,
    truth: Option<&Answer>,
) -> Result<(), RewardError> {
    let Some(Answer::Items(items)) = truth else { return Ok(()) };
    if !items.flaws.is_empty() {
        let (found, _) = all(kind, &plain(text), Author::Data);
        let flawed = found.into_iter().enumerate().find_map(|(k, item)| Some((k, item.err()?)));
        let (index, (flaw, names)) = flawed.unwrap_or((items.len(), (Flaw::TooMany, Vec::new())));
        return Err(of_key(kind, index, flaw, &names).unwrap_or(RewardError::Item { index, flaw }));
    }
    // As Seg-Zero has them; the points would be taken for the corners of one more box.
    if text.contains("<box") && text.contains("<point") {
        return Err(RewardError::TwoKinds { got: quote(text) });
    }
    let plain_text = plain(text);
    let opened = plain_text.matches('{').count();
    let read: usize = objects(&plain_text).map(|object| n_objects(&object)).sum();
    if opened != read {
        return Err(RewardError::Partial { opened, read, got: quote(text) });
    }
    if kind.is_single() && items.len() != 1 {
        return Err(RewardError::NotOne(items.len()));
    }
    check_labels(kind, items)?;
    if kind.keys().target.is_some() && items.target.is_none() {
        return Err(RewardError::Unreadable { expected: kind.example(), got: quote(text) });
    }
    Ok(())
}

/// Refuses a label that the task does not declare.
fn check_labels(kind: &dyn ItemKind, items: &Items) -> Result<(), RewardError> {
    let labels = kind.labels();
    let is_declared = |name: &str| labels.iter().any(|label| same_label(name, label));
    let named = items.valid.iter().map(|item| item.label.as_deref()).enumerate();
    let unknown = named
        .filter(|_| !labels.is_empty())
        .find_map(|(index, name)| Some((index, name.filter(|name| !is_declared(name))?)));
    match unknown {
        Some((index, name)) => Err(RewardError::UnknownLabel { index, got: quote(name) }),
        None => Ok(()),
    }
}

/// The keys of an object.
fn names_in(object: &Value) -> Vec<String> {
    match object {
        Value::Object(fields) => fields.iter().map(|(name, _)| name.clone()).collect(),
        _ => Vec::new(),
    }
}

/// The flaw of an object that lacks a declared key, with the keys that it has instead; `None` for any other.
fn of_key(kind: &dyn ItemKind, index: usize, flaw: Flaw, names: &[String]) -> Option<RewardError> {
    let keys = kind.keys();
    let has = |key: &str| names.iter().any(|name| name.trim().eq_ignore_ascii_case(key.trim()));
    let (what, wanted) = match flaw {
        Flaw::NoPlace => ("coordinates", [keys.place.or(keys.start), keys.end]),
        Flaw::NoLabel => ("a label", [keys.label, None]),
        Flaw::NoFrame => ("a frame number", [keys.frame, None]),
        Flaw::NoId => ("an id", [keys.id, None]),
        // Bare lists are declared, and here is an object.
        Flaw::Arity if keys.place.is_none() => ("coordinates", [None, None]),
        _ => return None,
    };
    if names.is_empty() || wanted.iter().flatten().any(|key| has(key)) {
        return None;
    }
    let under: Vec<String> = wanted.iter().flatten().map(|key| format!("{key:?}")).collect();
    let expected = match &under[..] {
        [] => format!("{} without keys", kind.coordinates_example()),
        keys => format!("{what} under {}", keys.join(" and ")),
    };
    let found: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
    Some(RewardError::Key { index, expected, found: found.join(", ") })
}

fn n_objects(value: &Value) -> usize {
    match value {
        Value::Object(fields) => {
            1 + fields.iter().map(|(_, inner)| n_objects(inner)).sum::<usize>()
        }
        Value::List(items) => items.iter().map(n_objects).sum(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use crate::config::AnswerConfig;
    use crate::reading::read_truth;

    #[test]
    fn an_empty_label_of_a_true_box_is_none() {
        let toml = "type = 'boxes'\nkeys = {place = 'bbox_2d', label = 'label'}";
        let answer: AnswerConfig = toml::from_str(toml).unwrap();
        let read = |label: &str| {
            let text = format!("[{{\"bbox_2d\": [1, 2, 3, 4], \"label\": \"{label}\"}}]");
            read_truth(&text, &answer)
        };
        assert!(read("mug").is_ok());
        for label in ["", " "] {
            let why = read(label).unwrap_err().to_string();
            assert!(why.contains("expected a label under its key"), "{why}");
        }
    }
}
