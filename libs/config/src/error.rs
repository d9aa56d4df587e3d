//! What can be wrong with a configuration.

use std::fmt;
use std::path::PathBuf;

/// A configuration that cannot be used, with the key and the remedy in the message.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is absent or unreadable.
    #[error("cannot read the configuration {path:?}: {source}")]
    Read {
        /// The file that was asked for.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// Not TOML, an unknown key, or a value of the wrong type.
    #[error("in {origin}: {message}")]
    Parse {
        /// File or option that the text came from.
        origin: String,
        /// The parser's message: position, key, what was expected.
        message: String,
    },
    /// An override that is not `section.key=value`.
    #[error("override {0:?} should look like section.key=value, for example learner.steps=50")]
    Override(String),
    /// A value that contradicts another one or lies outside of what its key allows.
    #[error("{key} = {got}: expected {expected}{place}")]
    Value {
        /// Path of the key, as in `rollout.group_size`.
        key: String,
        /// The value found.
        got: String,
        /// What would be accepted, and why.
        expected: String,
        /// Where the value was written.
        place: Place,
    },
    /// A key that cannot be left out.
    #[error("{key} is missing: {remedy}{place}")]
    Missing {
        /// Path of the key, as in `reward.answer.type`.
        key: String,
        /// What to write.
        remedy: String,
        /// Where the table begins that should have it.
        place: Place,
    },
    /// An error in a part of a section that needs a name to be found.
    #[error("in {part}: {error}")]
    Within {
        /// The part, as in `the reward of the source "boxes"`.
        part: String,
        /// What is wrong.
        error: Box<ConfigError>,
    },
    /// Several errors of a configuration, each of another section.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\nand "))]
    Several(Vec<ConfigError>),
    /// A file that the configuration names and that is not there.
    #[error(
        "{key} = {path:?}: no such file or folder (relative paths start at the folder of the graph)"
    )]
    NoFile {
        /// Path of the key that names the file.
        key: String,
        /// The file.
        path: PathBuf,
    },
}

/// Where a value was written; empty where that is not known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place(pub(crate) Option<String>);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |place| write!(f, " ({place})"))
    }
}

impl ConfigError {
    /// The same error in a part of a section that needs a name to be found.
    #[must_use]
    pub fn within(self, part: impl Into<String>) -> Self {
        Self::Within { part: part.into(), error: Box::new(self) }
    }

    /// The same with further words behind the message of a parser.
    pub(crate) fn with_more(self, words: &str) -> Self {
        match self {
            Self::Parse { origin, message } => Self::Parse { origin, message: message + words },
            other => other,
        }
    }

    /// The same with the place of its key, which `find` looks up.
    pub(crate) fn located(self, find: impl FnOnce(&str) -> Place) -> Self {
        match self {
            Self::Value { key, got, expected, place: Place(None) } => {
                let place = find(&key);
                Self::Value { key, got, expected, place }
            }
            Self::Missing { key, remedy, place: Place(None) } => {
                let place = find(&key);
                Self::Missing { key, remedy, place }
            }
            other => other,
        }
    }
}

/// Refuses a value unless the condition holds. `expected` completes the sentence "expected …".
///
/// # Errors
/// The condition does not hold.
pub fn require(
    holds: bool,
    key: impl Into<String>,
    got: impl ToString,
    expected: impl Into<String>,
) -> Result<(), ConfigError> {
    if holds {
        return Ok(());
    }
    Err(ConfigError::Value {
        key: key.into(),
        got: got.to_string(),
        expected: expected.into(),
        place: Place::default(),
    })
}

/// The error for a key that cannot be left out; `remedy` says what to write.
pub fn missing(key: impl Into<String>, remedy: impl Into<String>) -> ConfigError {
    ConfigError::Missing { key: key.into(), remedy: remedy.into(), place: Place::default() }
}

pub(crate) fn parse_error(origin: &str, error: &toml::de::Error) -> ConfigError {
    ConfigError::Parse {
        origin: origin.to_owned(),
        message: error.to_string().trim_end().to_owned(),
    }
}
