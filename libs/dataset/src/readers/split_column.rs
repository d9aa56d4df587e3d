//! A column that says of each row which split it belongs to: rows to judge on must not be learned from.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};

use crate::DatasetError;
use crate::files::keyword;

/// Names of such a column; of another content it is something else, as the part of a larger set that a row is from.
const KEYS: [&str; 8] =
    ["split", "splits", "subset", "partition", "fold", "set", "data_split", "dataset_split"];

/// The splits that rows name, by the key that names them: the usual name of each, and as it is written.
#[derive(Debug, Default)]
pub(crate) struct SplitColumn(BTreeMap<String, BTreeMap<String, String>>);

/// Whether a column of this name may say which split a row belongs to.
pub(super) fn is_one(name: &str) -> bool {
    KEYS.iter().any(|key| name.trim().eq_ignore_ascii_case(key))
}

impl SplitColumn {
    /// Notes what a row says.
    pub(super) fn note(&mut self, values: &Map<String, Value>) {
        for (key, value) in values.iter().filter(|(key, _)| is_one(key)) {
            self.note_one(key, value.as_str().unwrap_or_default());
        }
    }

    /// Notes the field of a row.
    pub(super) fn note_one(&mut self, key: &str, written: &str) {
        let Some(split) = keyword(written) else { return };
        if self.0.get(key).is_some_and(|seen| seen.contains_key(&split)) {
            return;
        }
        self.0.entry(key.to_owned()).or_default().insert(split, written.to_owned());
    }

    /// Checks that all rows that say it are of one split.
    ///
    /// # Errors
    /// They are of several.
    pub(super) fn check(&self, path: &Path) -> Result<(), DatasetError> {
        let Some((key, seen)) = self.0.iter().find(|(_, seen)| seen.len() > 1) else {
            return Ok(());
        };
        let written: Vec<String> = seen.values().map(|written| format!("{written:?}")).collect();
        let ending = path.extension().unwrap_or_default().to_string_lossy();
        let file = |split: &String| {
            if ending.is_empty() { split.clone() } else { format!("{split}.{ending}") }
        };
        let files: Vec<String> = seen.keys().map(file).collect();
        let why = format!(
            "its {key:?} names several, {}, and rows to judge on would be learned from: write a file for each, as {} in one \
             folder, of which data.split and evaluation.split choose",
            written.join(", "),
            files.join(" and ")
        );
        Err(super::content(path, "rows of one split", why))
    }
}

#[cfg(test)]
mod tests;
