//! The names of the parts of an item. An item has the parts that are named; an empty name stands for none.

use serde::{Deserialize, Serialize};

/// Keys of items of which there may be any number.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ItemKeys {
    /// Coordinates; empty if items are bare lists of numbers.
    pub place: String,
    /// Key of the confidence, from 0 to 1.
    pub confidence: String,
    /// Name of what is there.
    pub label: String,
}

/// Keys of an item that is alone.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OneItemKeys {
    /// Coordinates; empty if the item is a bare list of numbers.
    pub place: String,
    /// Name of what is there.
    pub label: String,
}

/// The keys of any kind of items; `None` for parts that they do not have.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Keys<'a> {
    /// Key of the coordinates.
    pub(crate) place: Option<&'a str>,
    /// Key of the confidence, from 0 to 1.
    pub(crate) confidence: Option<&'a str>,
    /// Name of what is there.
    pub(crate) label: Option<&'a str>,
    /// First moment of an interval.
    pub(crate) start: Option<&'a str>,
    /// Last moment of an interval.
    pub(crate) end: Option<&'a str>,
    /// Frame of a track.
    pub(crate) frame: Option<&'a str>,
    /// Object of a track.
    pub(crate) id: Option<&'a str>,
    /// List of the items within the answer.
    pub(crate) objects: Option<&'a str>,
    /// Index of the item that is meant, from 0.
    pub(crate) target: Option<&'a str>,
}

impl<'a> Keys<'a> {
    /// The parts, as the configuration names them.
    pub(crate) const NAMES: [&'static str; 9] =
        ["place", "confidence", "label", "start", "end", "frame", "id", "objects", "target"];

    /// Those that are declared.
    pub(crate) fn declared(&self) -> impl Iterator<Item = &'a str> {
        let Self { place, confidence, label, start, end, frame, id, objects, target } = *self;
        [place, confidence, label, start, end, frame, id, objects, target].into_iter().flatten()
    }
}

/// A key as it is declared; `None` if it is empty.
pub(crate) fn named(key: &str) -> Option<&str> {
    Some(key).filter(|key| !key.is_empty())
}

impl ItemKeys {
    pub(crate) fn view(&self) -> Keys<'_> {
        Keys {
            place: named(&self.place),
            confidence: named(&self.confidence),
            label: named(&self.label),
            ..Keys::default()
        }
    }
}

impl OneItemKeys {
    pub(crate) fn view(&self) -> Keys<'_> {
        Keys { place: named(&self.place), label: named(&self.label), ..Keys::default() }
    }
}
