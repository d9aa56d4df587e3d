//! `--set section.key=value`.

use std::path::{Component, Path, PathBuf};

use toml::{Table, Value};

use crate::preset::PRESET;
use crate::{ConfigError, table};

/// One value that replaces what the file says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Override {
    /// The keys that lead to the value.
    pub(crate) path: Vec<String>,
    value: Value,
    /// As it was given.
    pub(crate) text: String,
}

impl Override {
    /// Reads `section.key=value`; a value that is not TOML counts as a string.
    pub(crate) fn parse(text: &str) -> Result<Self, ConfigError> {
        let malformed = || ConfigError::Override(text.to_owned());
        let (path, value) = text.split_once('=').ok_or_else(malformed)?;
        let path: Vec<String> = path.trim().split('.').map(str::to_owned).collect();
        if path.len() < 2 || path.iter().any(String::is_empty) {
            return Err(malformed());
        }
        let parsed = toml::from_str::<Table>(&format!("v = {value}")).ok();
        let value = parsed
            .and_then(|mut parsed| parsed.remove("v"))
            .unwrap_or_else(|| Value::String(value.to_owned()));
        Ok(Self { path, value, text: text.to_owned() })
    }

    /// Whether it names a preset.
    pub(crate) fn is_preset(&self) -> bool {
        self.path.last().is_some_and(|key| key == PRESET)
    }

    /// Whether the value is at this dotted path or within it.
    pub(crate) fn is_within(&self, path: &str) -> bool {
        let mut keys = self.path.iter();
        path.split('.').all(|key| keys.next().is_some_and(|own| own == key))
    }

    /// Whether it sets a table that has this dotted path in it.
    pub(crate) fn replaces(&self, path: &str) -> bool {
        let mut keys = path.split('.');
        let is_table = matches!(self.value, Value::Table(_));
        is_table && self.path.iter().all(|own| keys.next().is_some_and(|key| own == key))
    }

    /// Whether it says something else than this value does. A path that ends with another one is the same, seen from
    /// elsewhere.
    pub(crate) fn is_another(&self, before: Option<&Value>) -> bool {
        match (before, &self.value) {
            (Some(Value::String(before)), Value::String(now)) => {
                let below =
                    |part: &Component<'_>| matches!(part, Component::CurDir | Component::ParentDir);
                let end: PathBuf = Path::new(before).components().skip_while(below).collect();
                now != before && !Path::new(now).ends_with(end)
            }
            (before, now) => before != Some(now),
        }
    }

    /// Sets the value. One that stands on the way and is no table makes it an error.
    pub(crate) fn apply(&self, whole: &mut Table) -> Result<(), ConfigError> {
        if table::set(whole, &self.path, self.value.clone()) {
            return Ok(());
        }
        Err(ConfigError::Override(self.text.clone()))
    }

    /// Takes away what the file says in the table whose preset this override names: the preset replaces it.
    pub(crate) fn clear_table(&self, whole: &mut Table) {
        let parent = &self.path[..self.path.len() - 1];
        if table::get(whole, &parent.join(".")).is_some() {
            table::set(whole, parent, Value::Table(Table::new()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn value(text: &str) -> Value {
        let mut table = Table::new();
        Override::parse(text).unwrap().apply(&mut table).unwrap();
        table::get(&table, text.split_once('=').unwrap().0).unwrap().clone()
    }

    #[test]
    fn what_is_no_toml_is_a_string() {
        assert_eq!(value("a.b=7"), Value::Integer(7));
        assert_eq!(value("a.b=\"7\""), Value::String("7".into()));
        assert_eq!(value("a.b=out/x=1"), Value::String("out/x=1".into()));
        assert_eq!(value("a.b.c=[1, 2]").as_array().unwrap().len(), 2);
    }

    #[test]
    fn an_override_without_section_key_or_value_is_refused() {
        for text in ["steps=1", "learner.steps", ".steps=1", "learner.=1", "=1"] {
            let error = Override::parse(text).unwrap_err().to_string();
            assert!(error.contains("section.key=value"), "{error}");
        }
    }
}
