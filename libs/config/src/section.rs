//! [`Section`]: what the owner of a section says about it.

use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::Table;

use crate::{ConfigError, Document};

/// A section of the configuration, as the crate that owns it defines it.
///
/// The type should refuse unknown keys (`#[serde(deny_unknown_fields)]`) and, unless a key has no sensible default,
/// implement `Default` and use it for the keys that are left out (`#[serde(default)]`).
pub trait Section: Serialize + DeserializeOwned {
    /// Name of the table, as in `[learner]`; a table within another section has a dotted name, as in `data.stream`.
    const NAME: &'static str;

    /// Tables within this one that are sections of other crates. They are taken out before this one is read.
    const OF_OTHERS: &'static [&'static str] = &[];

    /// Rewrites the table of the file, with overrides and presets applied, before it is read. Not called where the
    /// section is left out.
    ///
    /// # Errors
    /// What the table lacks or contradicts.
    fn prepare(table: Table, document: &Document) -> Result<Table, ConfigError> {
        let _whole = document;
        Ok(table)
    }

    /// Checks what the types cannot rule out, within this section alone.
    ///
    /// # Errors
    /// The first value that cannot be worked with, and what to write instead.
    fn check(&self) -> Result<(), ConfigError> {
        Ok(())
    }
}
