//! The keys of JSON settings, each read with an error that names the file, the key, and what was expected and found.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::CheckpointError;
use crate::stead::refuse_pointer;

/// The largest size that a file may ask for: a product of two of them still fits 64 bits with room to spare.
pub const MAX_SIZE: usize = 1 << 24;

/// A JSON file of a checkpoint.
#[derive(Debug, Clone)]
pub struct JsonFile {
    path: PathBuf,
    value: Value,
}

impl JsonFile {
    /// Reads a file, or returns `None` if there is none.
    ///
    /// # Errors
    /// A file that cannot be read, or that is not JSON.
    pub fn read(path: &Path) -> Result<Option<Self>, CheckpointError> {
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(path, &text).map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(CheckpointError::Read { path: path.to_owned(), source }),
        }
    }

    /// Parses a text; `path` is what errors call it.
    ///
    /// # Errors
    /// A text that is not JSON.
    pub fn parse(path: impl Into<PathBuf>, text: &str) -> Result<Self, CheckpointError> {
        let path = path.into();
        refuse_pointer(&path, text.as_bytes())?;
        // Some editors put a mark of the order of bytes before the text.
        match serde_json::from_str(text.trim_start_matches('\u{feff}')) {
            Ok(value) => Ok(Self { path, value }),
            Err(error) => Err(CheckpointError::damaged(&path, error)),
        }
    }

    /// Where the file lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The whole JSON value.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// The keys at the top.
    pub fn keys(&self) -> Keys<'_> {
        Keys { path: &self.path, prefix: String::new(), places: vec![&self.value] }
    }
}

/// The keys of one section of a JSON file. A key that is `null` counts as absent.
///
/// Files of different ages keep the same key in different sections, so there may be several places to look in: the
/// first that has the key wins.
#[derive(Debug, Clone)]
pub struct Keys<'a> {
    path: &'a Path,
    /// Sections around the keys, each with a full stop after it.
    prefix: String,
    places: Vec<&'a Value>,
}

impl<'a> Keys<'a> {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&'a Value> {
        self.places.iter().find_map(|place| place.get(key).filter(|value| !value.is_null()))
    }

    /// The section under a key; one without keys if it is absent.
    pub fn section(&self, key: &str) -> Keys<'a> {
        let prefix = format!("{}{key}.", self.prefix);
        Keys { path: self.path, prefix, places: self.get(key).into_iter().collect() }
    }

    /// Whether the section is in the file.
    pub fn is_there(&self) -> bool {
        !self.places.is_empty()
    }

    /// This section, and where it lacks a key the other.
    pub fn or(&self, other: &Keys<'a>) -> Keys<'a> {
        let prefix = if self.is_there() { &self.prefix } else { &other.prefix };
        let places = self.places.iter().chain(&other.places).copied().collect();
        Keys { path: self.path, prefix: prefix.clone(), places }
    }

    /// The same keys, which errors then name without the section around them: for keys that files of different ages
    /// have in different sections.
    pub fn without_prefix(mut self) -> Keys<'a> {
        self.prefix.clear();
        self
    }

    /// A size: an integer from 1 to [`MAX_SIZE`].
    pub fn size(&self, key: &str) -> Result<Option<usize>, CheckpointError> {
        let Some(size) = self.parsed(key, SIZE, |v| v.as_u64().filter(|n| *n > 0))? else {
            return Ok(None);
        };
        match usize::try_from(size).ok().filter(|size| *size <= MAX_SIZE) {
            Some(size) => Ok(Some(size)),
            None => Err(self.error(key, format!("at most {MAX_SIZE}"), size)),
        }
    }

    /// A size that must be there.
    pub fn required_size(&self, key: &str) -> Result<usize, CheckpointError> {
        self.size(key)?.ok_or_else(|| self.error(key, SIZE, "nothing"))
    }

    /// An integer of 0 or more.
    pub fn count(&self, key: &str) -> Result<Option<usize>, CheckpointError> {
        self.parsed(key, "an integer of 0 or more", as_count)
    }

    /// The finite number under a key, if it is there.
    pub fn number(&self, key: &str) -> Result<Option<f64>, CheckpointError> {
        self.parsed(key, "a number", Value::as_f64)
    }

    /// A number above 0.
    pub fn positive(&self, key: &str) -> Result<Option<f64>, CheckpointError> {
        self.parsed(key, "a number above 0", |value| value.as_f64().filter(|n| *n > 0.0))
    }

    /// The true or false under a key, if it is there.
    pub fn flag(&self, key: &str) -> Result<Option<bool>, CheckpointError> {
        self.parsed(key, "true or false", Value::as_bool)
    }

    /// The id of a token.
    pub fn token_id(&self, key: &str) -> Result<Option<u32>, CheckpointError> {
        let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
        self.parsed(key, "a token id", id)
    }

    /// A list of integers of 0 or more.
    pub fn counts(&self, key: &str) -> Result<Option<Vec<usize>>, CheckpointError> {
        let counts = |value: &Value| value.as_array()?.iter().map(as_count).collect();
        self.parsed(key, "a list of integers of 0 or more", counts)
    }

    /// The three numbers under a key, if they are there.
    pub fn three_numbers(&self, key: &str) -> Result<Option<[f32; 3]>, CheckpointError> {
        self.parsed(key, "three numbers", |value| {
            let numbers = value.as_array()?.iter().map(|n| n.as_f64().map(|n| n as f32));
            numbers.collect::<Option<Vec<f32>>>()?.try_into().ok()
        })
    }

    /// One of a few names; `None` if the key is absent.
    pub fn one_of(&self, key: &str, allowed: &[&str]) -> Result<Option<&'a str>, CheckpointError> {
        let allowed_name = |value: &'a Value| value.as_str().filter(|name| allowed.contains(name));
        self.parsed(key, &allowed.join(" or "), allowed_name)
    }

    /// The error about a key whose value does not fit, or that is absent.
    pub fn error(
        &self,
        key: &str,
        expected: impl Into<Box<str>>,
        got: impl ToString,
    ) -> CheckpointError {
        CheckpointError::Key {
            path: self.path.to_owned(),
            key: format!("{}{key}", self.prefix).into(),
            expected: expected.into(),
            got: got.to_string().into(),
        }
    }

    /// The error for a value of another type, unless the value fits.
    pub fn ensure(
        &self,
        fits: bool,
        key: &str,
        expected: impl Into<Box<str>>,
        got: impl ToString,
    ) -> Result<(), CheckpointError> {
        if fits { Ok(()) } else { Err(self.error(key, expected, got)) }
    }

    fn parsed<T>(
        &self,
        key: &str,
        expected: &str,
        parse: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, CheckpointError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        parse(value).map(Some).ok_or_else(|| self.error(key, expected, value))
    }
}

const SIZE: &str = "a positive integer";

fn as_count(value: &Value) -> Option<usize> {
    value.as_u64().and_then(|n| usize::try_from(n).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> JsonFile {
        JsonFile::parse("config.json", text).unwrap()
    }

    #[test]
    fn the_first_place_that_has_a_key_wins() {
        let file = file(r#"{"width": 1, "depth": 2, "new": {"width": 3, "depth": null}}"#);
        let keys = file.keys().section("new").or(&file.keys());
        assert_eq!(keys.required_size("width").unwrap(), 3);
        assert_eq!(keys.required_size("depth").unwrap(), 2);
        assert_eq!(keys.size("height").unwrap(), None);
        let marked = JsonFile::parse("config.json", "\u{feff}{\"n\": 3}").unwrap();
        assert_eq!(marked.keys().required_size("n").unwrap(), 3);
    }

    #[track_caller]
    fn check_error<T: std::fmt::Debug>(result: Result<T, CheckpointError>, expected: &str) {
        assert_eq!(result.unwrap_err().to_string(), format!("config.json: {expected}"));
    }

    #[test]
    fn an_error_names_the_key_with_its_sections() {
        let file = file(
            r#"{"a": {"b": {"n": -1, "on": 1, "name": "x", "ids": [1, "2"], "big": 16777217}}}"#,
        );
        let keys = file.keys().section("a").section("b");
        check_error(keys.count("n"), "a.b.n should be an integer of 0 or more, got -1");
        check_error(keys.required_size("n"), "a.b.n should be a positive integer, got -1");
        check_error(keys.required_size("m"), "a.b.m should be a positive integer, got nothing");
        check_error(keys.size("big"), "a.b.big should be at most 16777216, got 16777217");
        check_error(keys.flag("on"), "a.b.on should be true or false, got 1");
        check_error(keys.one_of("name", &["y", "z"]), "a.b.name should be y or z, got \"x\"");
        check_error(
            keys.counts("ids"),
            "a.b.ids should be a list of integers of 0 or more, got [1,\"2\"]",
        );
        check_error(keys.clone().without_prefix().token_id("n"), "n should be a token id, got -1");
    }

    #[test]
    fn a_text_that_is_not_json_is_named() {
        let message = JsonFile::parse("config.json", "{").unwrap_err().to_string();
        assert!(message.starts_with("\"config.json\" is damaged: "), "{message}");
    }

    #[test]
    fn a_file_may_be_absent() {
        assert!(JsonFile::read(Path::new("nowhere/config.json")).unwrap().is_none());
    }
}
