//! Reading the keys of a settings file, each mistake named by file and key.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::VisionError;

/// One section of a settings file. A key that is `null` counts as absent.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    path: PathBuf,
    /// Sections around the keys, each with a full stop after it.
    prefix: String,
    value: Value,
}

impl Keys {
    /// The keys of a whole file, or `None` if there is no such file.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>, VisionError> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(VisionError::Read { path: path.into(), source }),
        };
        let value = serde_json::from_str(&text)
            .map_err(|source| VisionError::Damaged { path: path.into(), source })?;
        Ok(Some(Self { path: path.into(), prefix: String::new(), value }))
    }

    /// A section of this one, if it is there.
    pub(crate) fn section(&self, key: &str) -> Option<Self> {
        let value = self.get(key)?.clone();
        Some(Self { path: self.path.clone(), prefix: format!("{}{key}.", self.prefix), value })
    }

    pub(crate) fn count(&self, key: &str) -> Result<Option<usize>, VisionError> {
        let count = |value: &Value| value.as_u64().map(|n| n as usize);
        self.parsed(key, "an integer of 0 or more", count)
    }

    pub(crate) fn number(&self, key: &str) -> Result<Option<f64>, VisionError> {
        self.parsed(key, "a number", Value::as_f64)
    }

    pub(crate) fn flag(&self, key: &str) -> Result<Option<bool>, VisionError> {
        self.parsed(key, "true or false", Value::as_bool)
    }

    /// One number per color channel.
    pub(crate) fn channels(&self, key: &str) -> Result<Option<[f32; 3]>, VisionError> {
        self.parsed(key, "three numbers", |value| {
            let numbers = value.as_array()?.iter().map(|n| n.as_f64().map(|n| n as f32));
            numbers.collect::<Option<Vec<f32>>>()?.try_into().ok()
        })
    }

    /// An error about a key whose value has the right type and still does not fit.
    pub(crate) fn error(&self, key: &str, expected: &str, got: impl ToString) -> VisionError {
        VisionError::Setting {
            path: self.path.clone(),
            key: format!("{}{key}", self.prefix).into(),
            expected: expected.into(),
            got: got.to_string().into(),
        }
    }

    /// That error, unless the value fits.
    pub(crate) fn ensure(
        &self,
        holds: bool,
        key: &str,
        expected: &str,
        got: impl ToString,
    ) -> Result<(), VisionError> {
        if holds { Ok(()) } else { Err(self.error(key, expected, got)) }
    }

    fn get(&self, key: &str) -> Option<&Value> {
        self.value.get(key).filter(|value| !value.is_null())
    }

    fn parsed<T>(
        &self,
        key: &str,
        expected: &str,
        parse: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<T>, VisionError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        parse(value).map(Some).ok_or_else(|| self.error(key, expected, value))
    }
}
