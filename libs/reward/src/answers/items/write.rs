//! The text of items: with placeholders, to say what is asked for, and with numbers.

use super::Keys;
use crate::answers::Sketch;

/// One item with placeholders: bare coordinates, or an object with the declared keys.
pub(super) fn example(keys: Keys, coordinates: &str) -> String {
    if keys.place.is_none() {
        return coordinates.to_owned();
    }
    let parts = [
        (keys.frame, "number"),
        (keys.id, "name"),
        (keys.place, coordinates),
        (keys.label, "'name'"),
        (keys.confidence, "number"),
    ];
    let fields = parts.iter().filter_map(|(key, value)| Some(format!("'{}': {value}", (*key)?)));
    format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
}

/// One item: bare coordinates, or an object with the declared keys.
pub(crate) fn item(keys: Keys, item: &Sketch, place: String) -> String {
    if keys.place.is_none() {
        return place;
    }
    let parts = [
        (keys.frame, item.frame.to_string()),
        (keys.id, quoted(&item.id)),
        (keys.place, place),
        (keys.label, quoted(&item.label)),
        (keys.confidence, item.confidence.to_string()),
    ];
    let fields = parts.iter().filter_map(|(key, value)| Some(format!("\"{}\": {value}", (*key)?)));
    format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
}

/// A text as JSON writes it.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(if c.is_control() { ' ' } else { c });
    }
    quoted.push('"');
    quoted
}

/// Writes numbers as `[x1, y1, …]`.
pub(crate) fn list(numbers: &[f64]) -> String {
    let each: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    format!("[{}]", each.join(", "))
}

/// Writes numbers as pairs, `[[x1, y1], …]`.
pub(crate) fn points(numbers: &[f64]) -> String {
    let each: Vec<String> = numbers.chunks(2).map(list).collect();
    format!("[{}]", each.join(", "))
}
