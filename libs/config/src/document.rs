//! [`Document`]: a configuration file with its overrides and presets applied, from which sections are read.

use std::collections::BTreeMap;
use std::path::Path;

use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

use crate::error::{ConfigError, Place, parse_error};
use crate::excerpt::{excerpt, line_of, position_of};
use crate::overrides::Override;
use crate::{Section, chosen, preset, table, unknown};

/// A configuration as it was written, before anybody knows what its sections mean.
#[derive(Debug, Clone)]
pub struct Document {
    origin: String,
    text: String,
    overrides: Vec<Override>,
    /// The file with overrides and presets applied.
    table: Table,
    /// What was left out of the file since it belongs to values that are overridden.
    notes: Vec<String>,
}

impl Document {
    /// Reads a file, applies `section.key=value` overrides and resolves presets.
    ///
    /// # Errors
    /// A file that cannot be read or is not TOML, a malformed override, a preset that is not there.
    pub fn load(path: &Path, overrides: &[String]) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        Self::parse_in(folder, text, path.display().to_string(), overrides)
    }

    /// Parses a text; `origin` names it in errors. Presets are looked for in the working directory.
    ///
    /// # Errors
    /// As [`Document::load`].
    pub fn parse(text: &str, origin: &str) -> Result<Self, ConfigError> {
        Self::parse_with(text, origin, &[])
    }

    /// The same with overrides.
    ///
    /// # Errors
    /// As [`Document::load`].
    pub fn parse_with(text: &str, origin: &str, overrides: &[String]) -> Result<Self, ConfigError> {
        Self::parse_in(Path::new(""), text.to_owned(), origin.to_owned(), overrides)
    }

    fn parse_in(
        folder: &Path,
        text: String,
        origin: String,
        overrides: &[String],
    ) -> Result<Self, ConfigError> {
        let mut table: Table =
            toml::from_str(&text).map_err(|error| parse_error(&origin, &error))?;
        let overrides: Vec<Override> =
            overrides.iter().map(|text| Override::parse(text)).collect::<Result<_, _>>()?;
        for named in overrides.iter().filter(|one| one.is_preset()) {
            named.clear_table(&mut table);
        }
        let notes = chosen::release(&mut table, &overrides)?;
        overrides.iter().try_for_each(|one| one.apply(&mut table))?;
        preset::resolve(&mut table, folder)?;
        Ok(Self { origin, text, overrides, table, notes })
    }

    /// What the user should know of how overrides changed the file, a sentence each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Whether it was read from this file.
    pub fn is_from(&self, path: &Path) -> bool {
        Path::new(&self.origin) == path
    }

    /// The configuration of defaults alone.
    pub fn empty() -> Self {
        let origin = "the defaults".to_owned();
        let (text, table) = (String::new(), Table::new());
        Self { origin, text, overrides: Vec::new(), table, notes: Vec::new() }
    }

    /// Reads and checks a section; its defaults if the file has none.
    ///
    /// # Errors
    /// An unknown key, a value of the wrong type or that [`Section::check`] refuses.
    pub fn section<S: Section + Default>(&self) -> Result<S, ConfigError> {
        match self.optional()? {
            Some(section) => Ok(section),
            None => Ok(S::default()),
        }
    }

    /// Reads and checks a section; `None` if the file has none.
    ///
    /// # Errors
    /// As [`Document::section`].
    pub fn optional<S: Section>(&self) -> Result<Option<S>, ConfigError> {
        let table = match self.get(S::NAME) {
            None => return Ok(None),
            Some(Value::Table(table)) => table.clone(),
            Some(other) => {
                let expected = format!("a table, as in [{}]", S::NAME);
                let wrong = crate::require(false, S::NAME, other, expected);
                return wrong.map(|()| None).map_err(|error| self.locate(error));
            }
        };
        let section: S = self.read(table)?;
        section.check().map_err(|error| self.locate(error))?;
        Ok(Some(section))
    }

    /// The value at a dotted path, as in `run.name`, with overrides and presets applied.
    pub fn get(&self, path: &str) -> Option<&Value> {
        table::get(&self.table, path)
    }

    /// Applies the overrides of a section once more, after [`Section::prepare`] has laid something over the file.
    ///
    /// # Errors
    /// An override that leads through something that is no table.
    pub fn override_again(&self, name: &str, section: Table) -> Result<Table, ConfigError> {
        let mut whole = Table::new();
        let path: Vec<String> = name.split('.').map(str::to_owned).collect();
        table::set(&mut whole, &path, Value::Table(section));
        for one in self.overrides.iter().filter(|one| one.is_within(name) && !one.is_preset()) {
            one.apply(&mut whole)?;
        }
        match table::get(&whole, name) {
            Some(Value::Table(section)) => Ok(section.clone()),
            _ => Ok(Table::new()),
        }
    }

    /// Refuses sections that no crate owns. Of a dotted name, the first part counts.
    ///
    /// # Errors
    /// The first unknown section, with its line.
    pub fn refuse_unknown(&self, names: &[&str]) -> Result<(), ConfigError> {
        let known: Vec<&str> =
            names.iter().map(|name| name.split('.').next().unwrap_or(name)).collect();
        let mut unknown = self.table.keys().filter(|key| !known.contains(&key.as_str()));
        let Some(first) = unknown.next() else { return Ok(()) };
        let others = unknown::told(&unknown.cloned().collect::<Vec<_>>());
        let unknown = first;
        let message =
            format!("unknown section `{unknown}`, expected one of {}{others}", known.join(", "));
        let written = self.written()?;
        let Some((key, _)) = written.get_ref().get_key_value(unknown.as_str()) else {
            let origin = format!("--set {unknown}");
            return Err(ConfigError::Parse { origin, message });
        };
        let message = excerpt(&self.text, &key.span(), &message);
        Err(ConfigError::Parse { origin: self.origin.clone(), message })
    }

    /// The text with overrides and presets applied, but without the defaults, which only the owners know.
    ///
    /// # Panics
    /// Never: what was parsed can be printed.
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(&self.table).expect("what was parsed can be printed")
    }

    /// Adds to an error where its key was written: the override, or the line of the file.
    #[must_use]
    pub fn locate(&self, error: ConfigError) -> ConfigError {
        error.located(|key| self.place_of(key))
    }

    fn place_of(&self, key: &str) -> Place {
        let sets = |one: &&Override| one.is_within(key) || one.replaces(key);
        if let Some(one) = self.overrides.iter().rfind(sets) {
            return Place(Some(format!("--set {}", one.text)));
        }
        let position = self.written().ok().and_then(|root| position_of(root.get_ref(), key));
        let line = position.map(|position| line_of(&self.text, position));
        Place(line.map(|line| format!("{}, line {line}", self.origin)))
    }

    fn read<S: Section>(&self, table: Table) -> Result<S, ConfigError> {
        let mut prepared = S::prepare(table, self).map_err(|error| self.locate(error))?;
        for part in S::OF_OTHERS {
            prepared.remove(*part);
        }
        // Within a table of its name, so that the error has the whole path of the key.
        let whole = Table::from_iter([(S::NAME.to_owned(), Value::Table(prepared))]);
        let read = whole.clone().try_into::<BTreeMap<String, S>>();
        let mut sections = read.map_err(|error| {
            let others = unknown::others::<S>(whole, &error);
            self.explain::<S>(&error).with_more(&unknown::told(&others))
        })?;
        sections.remove(S::NAME).ok_or_else(|| crate::missing(S::NAME, "write the section"))
    }

    /// The error of reading a section: with its line, if the file alone has it too.
    fn explain<S: Section>(&self, error: &toml::de::Error) -> ConfigError {
        if let Some(as_written) = self.error_as_written::<S>(error) {
            return as_written;
        }
        let given: Vec<&str> = self.overrides.iter().map(|one| one.text.as_str()).collect();
        let origin = match given[..] {
            [] => self.origin.clone(),
            _ => format!("{} with --set {}", self.origin, given.join(" --set ")),
        };
        parse_error(&origin, error)
    }

    /// The error of the file alone, with its line. Where overrides have a part in the section it must be the same one: what
    /// they replace is not to blame.
    fn error_as_written<S: Section>(&self, found: &toml::de::Error) -> Option<ConfigError> {
        let plain: Table = toml::from_str(&self.text).ok()?;
        let section = table::get(&plain, S::NAME)?.as_table()?;
        if preset::is_built_on_one(section) {
            return None;
        }
        let mut value = self.written().ok()?;
        let mut keys = S::NAME.split('.');
        let mut section = value.get_mut().remove(keys.next()?)?;
        for key in keys {
            let DeValue::Table(table) = section.get_mut() else { return None };
            section = table.remove(key)?;
        }
        if let DeValue::Table(table) = section.get_mut() {
            S::OF_OTHERS.iter().for_each(|part| _ = table.remove(*part));
        }
        let mut error = S::deserialize(toml::de::ValueDeserializer::from(section)).err()?;
        let has_part = |one: &Override| one.is_within(S::NAME) || one.replaces(S::NAME);
        if self.overrides.iter().any(has_part) && error.message() != found.message() {
            return None;
        }
        error.set_input(Some(&self.text));
        Some(parse_error(&self.origin, &error))
    }

    fn written(&self) -> Result<Spanned<DeTable<'_>>, ConfigError> {
        DeTable::parse(&self.text).map_err(|error| parse_error(&self.origin, &error))
    }
}

#[cfg(test)]
mod tests;
