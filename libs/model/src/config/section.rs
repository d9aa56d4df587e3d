//! Keys of a JSON file that may stand in several places, read with errors that name them.

use serde_json::Value;

use crate::PolicyError;

/// Places to look for a key, the first that has it wins.
pub(super) struct Section<'a> {
    path: String,
    values: Vec<&'a Value>,
}

impl<'a> Section<'a> {
    /// The whole file.
    pub(super) fn root(value: &'a Value) -> Self {
        Self { path: String::new(), values: vec![value] }
    }

    pub(super) fn get(&self, key: &str) -> Option<&'a Value> {
        self.values.iter().find_map(|value| value.get(key)).filter(|value| !value.is_null())
    }

    /// The nested section of that name; empty if it is absent.
    pub(super) fn child(&self, key: &str) -> Section<'a> {
        let path = format!("{}{key}.", self.path);
        Section { path, values: self.get(key).into_iter().collect() }
    }

    /// This section, then the other.
    pub(super) fn or(&self, other: &Section<'a>) -> Section<'a> {
        let path = if self.values.is_empty() { &other.path } else { &self.path };
        let values = self.values.iter().chain(&other.values).copied().collect();
        Section { path: path.clone(), values }
    }

    /// A key may be in several places: name it alone.
    pub(super) fn without_path(mut self) -> Section<'a> {
        self.path.clear();
        self
    }

    fn error(&self, key: &str, expected: &str, got: Option<&Value>) -> PolicyError {
        let got = got.map_or_else(|| "nothing".to_owned(), Value::to_string);
        config_error(&format!("{}{key}", self.path), expected, &got)
    }

    pub(super) fn size(&self, key: &str, default: Option<usize>) -> Result<usize, PolicyError> {
        let value = self.get(key);
        let size = value.map(|value| value.as_u64().filter(|n| *n > 0).map(|n| n as usize));
        size.unwrap_or(default).ok_or_else(|| self.error(key, "a positive integer", value))
    }

    pub(super) fn token(&self, key: &str, default: u32) -> Result<u32, PolicyError> {
        let value = self.get(key);
        let id = value.map(|value| value.as_u64().and_then(|id| u32::try_from(id).ok()));
        id.unwrap_or(Some(default)).ok_or_else(|| self.error(key, "a token id", value))
    }

    pub(super) fn number(&self, key: &str, default: f64) -> Result<f64, PolicyError> {
        let value = self.get(key);
        let number = value.map_or(Some(default), Value::as_f64);
        number
            .filter(|number| number.is_finite() && *number > 0.0)
            .ok_or_else(|| self.error(key, "a positive number", value))
    }

    pub(super) fn triple(&self, key: &str) -> Result<[usize; 3], PolicyError> {
        let value = self.get(key);
        let counts = value.and_then(Value::as_array).and_then(|list| {
            list.iter().map(|n| n.as_u64().map(|n| n as usize)).collect::<Option<Vec<_>>>()
        });
        counts
            .and_then(|counts| counts.try_into().ok())
            .ok_or_else(|| self.error(key, "three counts", value))
    }

    pub(super) fn one_of(
        &self,
        key: &str,
        allowed: &[&str],
        default: Option<&'a str>,
    ) -> Result<&'a str, PolicyError> {
        let value = self.get(key);
        let name = value.map_or(default, Value::as_str);
        name.filter(|name| allowed.contains(name))
            .ok_or_else(|| self.error(key, &allowed.join(" or "), value))
    }

    pub(super) fn indices(&self, key: &str, default: &[usize]) -> Result<Vec<usize>, PolicyError> {
        let Some(value) = self.get(key) else { return Ok(default.to_vec()) };
        let index = |n: &Value| n.as_u64().map(|n| n as usize);
        let indices = value.as_array().and_then(|list| list.iter().map(index).collect());
        indices.ok_or_else(|| self.error(key, "a list of indices", Some(value)))
    }
}

/// An error unless the one divides the other.
pub(super) fn divides(
    small_key: &str,
    small: usize,
    large_key: &str,
    large: usize,
) -> Result<(), PolicyError> {
    match large.is_multiple_of(small) && large > 0 {
        true => Ok(()),
        false => {
            Err(config_error(large_key, &format!("a multiple of {small_key}"), &large.to_string()))
        }
    }
}

pub(super) fn config_error(key: &str, expected: &str, got: &str) -> PolicyError {
    PolicyError::Config { key: key.into(), expected: expected.into(), got: got.into() }
}
