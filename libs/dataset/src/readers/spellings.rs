//! One spelling of each name: neither case, nor spaces, nor how an accent is typed make another category, as for the reward
//! they make no other answer.

use std::collections::HashMap;
use std::sync::Arc;

use unicode_normalization::UnicodeNormalization;

/// Pairs of spellings that a note names.
const N_NAMED: usize = 3;

/// The first spelling of each name that was met.
#[derive(Debug, Default)]
pub(crate) struct Spellings {
    first: HashMap<String, Arc<str>>,
    /// A first spelling, and another one of the same name.
    others: Vec<(Arc<str>, String)>,
}

impl Spellings {
    /// The spelling in which this name was met first.
    pub(crate) fn of(&mut self, name: &str) -> Arc<str> {
        let first = self.first.entry(folded(name)).or_insert_with(|| name.trim().into()).clone();
        let is_new =
            &*first != name.trim() && !self.others.iter().any(|(_, other)| other == name.trim());
        if is_new {
            self.others.push((first.clone(), name.trim().to_owned()));
        }
        first
    }

    /// That names in several spellings were taken for one; `None` where each had one.
    pub(crate) fn note(&self) -> Option<String> {
        let named = self.others.iter().take(N_NAMED);
        let named: Vec<String> =
            named.map(|(first, other)| format!("{other:?} for {first:?}")).collect();
        let more = if self.others.len() > named.len() { ", ..." } else { "" };
        let differ = "names that differ in case, spaces or the typing of accents are one";
        (!named.is_empty()).then(|| format!("{differ}: {}{more}", named.join(", ")))
    }
}

/// Whether two names are one.
pub(crate) fn is_same(a: &str, b: &str) -> bool {
    a == b || folded(a) == folded(b)
}

/// What is compared of a name: composed letters without case, spaces and `_`.
fn folded(name: &str) -> String {
    let bare = name.chars().filter(|c| !c.is_whitespace() && *c != '_');
    if name.is_ascii() {
        return bare.map(|c| c.to_ascii_lowercase()).collect();
    }
    // `ß` is SS in capitals, and ss then.
    let composed: String = bare.nfc().collect();
    composed.to_uppercase().to_lowercase().nfc().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_spelling_stands_for_all() {
        let mut names = Spellings::default();
        for (name, expected) in [
            ("Car", "Car"),
            ("car ", "Car"),
            ("caf\u{e9}", "caf\u{e9}"),
            ("CAFE\u{301}", "caf\u{e9}"),
            ("Stra\u{df}e", "Stra\u{df}e"),
            ("STRASSE", "Stra\u{df}e"),
            ("traffic_light", "traffic_light"),
            ("traffic light", "traffic_light"),
            ("cart", "cart"),
        ] {
            assert_eq!(&*names.of(name), expected, "{name}");
        }
        let note = names.note().unwrap();
        assert!(note.contains("\"car\" for \"Car\"") && note.ends_with(", ..."), "{note}");
        assert!(is_same("Car", "cAR") && !is_same("car", "cart"));
        assert_eq!(Spellings::default().note(), None);
    }
}
