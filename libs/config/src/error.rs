//! What can be wrong with a configuration.

use std::path::PathBuf;

/// A configuration that cannot be used, with the key and the remedy in the message.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is absent or unreadable.
    #[error("cannot read the configuration {path:?}: {source}")]
    Read {
        /// The file that was asked for.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// Not TOML, an unknown key, or a value of the wrong type.
    #[error("in {origin}: {message}")]
    Parse {
        /// File or option that the text came from.
        origin: String,
        /// The parser's own words: position, key, what was expected.
        message: String,
    },
    /// An override that is not `key=value`.
    #[error("override {0:?} should look like section.key=value, for example learner.steps=50")]
    Override(String),
    /// A value outside what the key allows.
    #[error("{key} = {got}: {expected}")]
    Value {
        /// Path of the key, as in `rollout.group_size`.
        key: &'static str,
        /// The value found.
        got: String,
        /// What would be accepted, and why.
        expected: &'static str,
    },
    /// A key that a declared task cannot do without.
    #[error("{key} is missing: {remedy}")]
    Absent {
        /// Path of the key, as in `reward.answer.type`.
        key: String,
        /// What to write.
        remedy: String,
    },
    /// A key of a declared task that contradicts another one, or a value outside what it allows.
    #[error("{key} = {got}: expected {expected}")]
    Task {
        /// Path of the key, as in `reward.terms.iou.metric`.
        key: String,
        /// The value found.
        got: String,
        /// What to write instead.
        expected: String,
    },
    /// A reward of one of several sources that is wrong in itself.
    #[error("in the reward of the source {task:?}: {error}")]
    Source {
        /// The task of the source.
        task: String,
        /// What is wrong.
        error: Box<ConfigError>,
    },
    /// A file that the configuration names and that is not there.
    #[error(
        "{key} = {path:?}: no such file or folder (relative paths start at the folder of the graph)"
    )]
    Missing {
        /// Path of the key that names the file.
        key: &'static str,
        /// The file.
        path: PathBuf,
    },
}
