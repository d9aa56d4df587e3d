//! A column that says of each row which split it belongs to: rows to judge on must not be learned from.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Map, Value};

use crate::DatasetError;
use crate::files::keyword;

/// Names of such a column, in small letters without what is no letter; of another content it is something else, as the part of
/// a larger set that a row is from.
const KEYS: [&str; 17] = [
    "split",
    "splits",
    "subset",
    "partition",
    "fold",
    "set",
    "dataset",
    "datasplit",
    "datasetsplit",
    "splitname",
    "traintest",
    "usage",
    "phase",
    "stage",
    "mode",
    "purpose",
    "type",
];
/// Names of a column that is true or 1 for rows of the first split, and else for those of the second.
const FLAGS: [(&str, [&str; 2]); 8] = [
    ("istrain", OF_TRAIN),
    ("istraining", OF_TRAIN),
    ("istrainingimage", OF_TRAIN),
    ("istest", OF_TEST),
    ("istesting", OF_TEST),
    ("isval", OF_VALIDATION),
    ("isvalid", OF_VALIDATION),
    ("isvalidation", OF_VALIDATION),
];
/// Short names of splits, which are words of other meanings elsewhere.
const SHORT: [(&str, [&str; 3]); 3] = [
    ("train", ["tr", "trn", "t"]),
    ("test", ["te", "tst", "ts"]),
    ("validation", ["va", "vl", "v"]),
];
/// Names of a column that can say little else; the names of other columns are words for anything.
const SURE: [&str; 6] = ["split", "splits", "partition", "datasplit", "datasetsplit", "splitname"];
/// Unknown values of such a column that are noted; more of them are no splits.
const MAX_UNKNOWN: usize = 5;
const OF_TRAIN: [&str; 2] = ["train", "test"];
const OF_TEST: [&str; 2] = ["test", "train"];
const OF_VALIDATION: [&str; 2] = ["validation", "train"];

/// The splits that rows name.
#[derive(Debug, Default)]
pub(crate) struct SplitColumn {
    /// By the key that names them: the usual name of each, and as it is written.
    named: BTreeMap<String, BTreeMap<String, String>>,
    /// By a key that can say little else: what is no split's name, as the numbers of CelebA's partition.
    unknown: BTreeMap<String, BTreeSet<String>>,
}

/// Whether a column of this name may say which split a row belongs to.
pub(super) fn is_one(name: &str) -> bool {
    KEYS.contains(&letters(name).as_str()) || is_flag(name)
}

/// Whether it says so by true and false, or 1 and 0.
pub(super) fn is_flag(name: &str) -> bool {
    flag(name).is_some()
}

/// The splits of rows of which it is true, and of which it is false.
fn flag(name: &str) -> Option<[&'static str; 2]> {
    let name = letters(name);
    FLAGS.iter().find(|(flag, _)| *flag == name).map(|(_, splits)| *splits)
}

fn letters(name: &str) -> String {
    name.chars().filter(|c| c.is_alphabetic()).map(|c| c.to_ascii_lowercase()).collect()
}

/// The split that a field of a column names. `PublicTest` is one of two words.
fn split_of(key: &str, written: &str) -> Option<String> {
    if let Some([of_true, of_false]) = flag(key) {
        let is = |words: [&str; 3]| words.iter().any(|w| written.trim().eq_ignore_ascii_case(w));
        let is_true = is(["1", "true", "1.0"]);
        let split = is_true.then_some(of_true);
        return split.or_else(|| is(["0", "false", "0.0"]).then_some(of_false)).map(str::to_owned);
    }
    let short = SHORT.iter().find(|(_, words)| words.contains(&letters(written).as_str()));
    if let Some((split, _)) = short {
        return Some((*split).to_owned());
    }
    let mut words = String::new();
    for c in written.chars() {
        if c.is_uppercase() && words.ends_with(char::is_lowercase) {
            words.push(' ');
        }
        words.push(c);
    }
    keyword(&words)
}

impl SplitColumn {
    /// Notes what a row says.
    pub(super) fn note(&mut self, values: &Map<String, Value>) {
        for (key, value) in values.iter().filter(|(key, _)| is_one(key)) {
            let written = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            self.note_one(key, &written);
        }
    }

    /// Notes the field of a row.
    pub(super) fn note_one(&mut self, key: &str, written: &str) {
        let Some(split) = split_of(key, written) else {
            if SURE.contains(&letters(key).as_str()) && !written.trim().is_empty() {
                let seen = self.unknown.entry(key.to_owned()).or_default();
                if seen.len() <= MAX_UNKNOWN && !seen.contains(written) {
                    seen.insert(written.to_owned());
                }
            }
            return;
        };
        if self.named.get(key).is_some_and(|seen| seen.contains_key(&split)) {
            return;
        }
        self.named.entry(key.to_owned()).or_default().insert(split, written.to_owned());
    }

    /// That a column may name splits by what is not known as such.
    pub(super) fn told(&self) -> Option<String> {
        let is_few =
            |(_, seen): &(&String, &BTreeSet<String>)| (2..=MAX_UNKNOWN).contains(&seen.len());
        let (key, seen) = self.unknown.iter().find(is_few)?;
        let seen: Vec<&str> = seen.iter().map(String::as_str).collect();
        Some(format!(
            "warning: {key:?} of the rows is one of {}, which are not known as names of splits, so that all rows are learned from: if \
             they are splits, write a file for each",
            seen.join(", ")
        ))
    }

    /// Checks that all rows that say it are of one split.
    ///
    /// # Errors
    /// They are of several.
    pub(super) fn check(&self, path: &Path) -> Result<(), DatasetError> {
        let Some((key, seen)) = self.named.iter().find(|(_, seen)| seen.len() > 1) else {
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
             folder, of which data.split and evaluation.split choose; or take the column out if it says something else",
            written.join(", "),
            files.join(" and ")
        );
        Err(super::content(path, "rows of one split", why))
    }
}

#[cfg(test)]
mod tests;
