//! From text, file and overrides to a validated [`Config`], and back to text.

use std::path::Path;

use toml::{Table, Value};

use crate::{Config, ConfigError, declare};

impl Config {
    /// Reads a file, applies `section.key=value` overrides, validates.
    pub fn load(path: &Path, overrides: &[String]) -> Result<Config, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        Config::resolved(&text, &path.display().to_string(), folder, overrides)
    }

    /// Parses and validates a text; `origin` names it in errors. Presets are looked for in the working directory.
    pub fn parse(text: &str, origin: &str) -> Result<Config, ConfigError> {
        Config::resolved(text, origin, Path::new(""), &[])
    }

    pub(crate) fn resolved(
        text: &str,
        origin: &str,
        folder: &Path,
        overrides: &[String],
    ) -> Result<Config, ConfigError> {
        let table: Table = toml::from_str(text).map_err(|error| parse_error(origin, &error))?;
        // As written first, so that an error there has a line number; what builds on a preset may have gaps.
        if !declare::has_gaps(&table) {
            toml::from_str::<Config>(text).map_err(|error| parse_error(origin, &error))?;
        }
        let table = declare::resolve(table, folder, overrides)?;
        let config: Config = table.try_into().map_err(|error| match overrides {
            [] => parse_error(origin, &error),
            _ => parse_error(&format!("{origin} with {overrides:?}"), &error),
        })?;
        config.validate()?;
        Ok(config)
    }

    /// The whole configuration with every default written out.
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).expect("a configuration has no value that TOML lacks")
    }
}

pub(crate) fn parse_error(origin: &str, error: &toml::de::Error) -> ConfigError {
    ConfigError::Parse {
        origin: origin.to_owned(),
        message: error.to_string().trim_end().to_owned(),
    }
}

/// Sets `section.key` to a value; a value that is not TOML counts as a string.
pub(crate) fn apply_override(table: &mut Table, assignment: &str) -> Result<(), ConfigError> {
    let malformed = || ConfigError::Override(assignment.to_owned());
    let (path, text) = assignment.split_once('=').ok_or_else(malformed)?;
    let value = toml::from_str::<Table>(&format!("v = {text}"))
        .ok()
        .and_then(|mut parsed| parsed.remove("v"))
        .unwrap_or_else(|| Value::String(text.to_owned()));
    let mut keys: Vec<&str> = path.trim().split('.').collect();
    let last = keys.pop().filter(|key| !key.is_empty()).ok_or_else(malformed)?;
    let mut section = table;
    for key in keys {
        section = section
            .entry(key)
            .or_insert_with(|| Value::Table(Table::new()))
            .as_table_mut()
            .ok_or_else(malformed)?;
    }
    section.insert(last.to_owned(), value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn with(overrides: &[&str]) -> Result<Config, ConfigError> {
        // Tests run side by side: a file for each.
        static N_FILES: AtomicUsize = AtomicUsize::new(0);
        let name = format!(
            "vrft-config-{}-{}.toml",
            std::process::id(),
            N_FILES.fetch_add(1, Ordering::Relaxed)
        );
        let file = std::env::temp_dir().join(name);
        std::fs::write(&file, "[learner]\nsteps = 7\n").unwrap();
        let overrides: Vec<String> = overrides.iter().map(ToString::to_string).collect();
        let config = Config::load(&file, &overrides);
        std::fs::remove_file(&file).unwrap();
        config
    }

    #[test]
    fn an_override_replaces_the_value_in_the_file() {
        assert_eq!(with(&[]).unwrap().learner.steps, 7);
        assert_eq!(with(&["learner.steps=9"]).unwrap().learner.steps, 9);
    }

    #[test]
    fn an_override_may_be_an_unquoted_path() {
        let config = with(&["policy.path=checkpoints/mine"]).unwrap();
        assert_eq!(config.policy.path, Path::new("checkpoints/mine"));
    }

    #[test]
    fn an_unknown_key_is_named() {
        let error = with(&["learner.stepz=9"]).unwrap_err().to_string();
        assert!(error.contains("stepz") && error.contains("steps"), "{error}");
        let error = Config::parse("[leaner]\nsteps = 1", "a.toml").unwrap_err().to_string();
        assert!(error.contains("leaner") && error.contains("a.toml"), "{error}");
    }

    #[test]
    fn what_is_printed_reads_back_the_same() {
        let config = with(&["run.name=x", "optimizer.schedule=cosine"]).unwrap();
        assert_eq!(Config::parse(&config.to_toml(), "printed").unwrap(), config);
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Config::load(Path::new("nowhere.toml"), &[]).unwrap_err().to_string();
        assert!(error.contains("nowhere.toml"), "{error}");
    }
}
