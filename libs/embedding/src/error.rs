//! What can be wrong with a sentence model.

use std::path::PathBuf;

/// A folder that is no sentence model we can run, or a forward pass that failed.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddingError {
    /// The folder is not there.
    #[error(
        "{path:?}: no such folder; expected one with config.json, tokenizer.json and model.safetensors of a sentence \
         model, as `hf download sentence-transformers/all-MiniLM-L6-v2 --local-dir {path:?}` makes it"
    )]
    NoFolder {
        /// The folder that was asked for.
        path: PathBuf,
    },
    /// A file of the model is absent or unreadable.
    #[error("cannot read {path:?}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file that is there but is not what its name promises.
    #[error("{path:?} is damaged: {message}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// A model of another kind.
    #[error("{path:?}: {key} should be {expected}, got {got}")]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// The key.
        key: &'static str,
        /// What would be accepted.
        expected: &'static str,
        /// The value found.
        got: String,
    },
    /// The tokenizer failed on a sentence.
    #[error("the tokenizer failed: {0}")]
    Tokenizer(String),
    /// The forward pass failed.
    #[error("the sentence model failed: {0}")]
    Tensor(#[from] candle_core::Error),
}
