//! Why a checkpoint is not exported.

use std::path::{Path, PathBuf};

use vrft_checkpoint::CheckpointError;

/// A checkpoint that cannot be written in another format.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// Files of the checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A folder that holds an adapter and no model.
    #[error(
        "{0:?} is an adapter: `vrft merge {0:?} OUT` adds it to its base, and OUT can be exported"
    )]
    Adapter(PathBuf),
    /// A model that llama.cpp does not have, or not in this shape.
    #[error("{what} should be {expected}, got {got}")]
    Unsupported {
        /// What cannot be expressed.
        what: String,
        /// What can be.
        expected: String,
        /// What the checkpoint has.
        got: String,
    },
    /// A tensor that has no place in the exported files.
    #[error("tensor {name:?} of shape {shape:?} has no place in GGUF")]
    Tensor {
        /// As the checkpoint calls it.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// A weight that is too large for 16 bits.
    #[error("tensor {0:?} has a weight that f16 cannot hold")]
    TooLarge(String),
    /// A file that cannot be written or read.
    #[error("{path:?}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
}

impl ExportError {
    pub(crate) fn unsupported(what: &str, expected: &str, got: impl ToString) -> Self {
        Self::Unsupported { what: what.into(), expected: expected.into(), got: got.to_string() }
    }

    pub(crate) fn file(path: &Path) -> impl Fn(std::io::Error) -> Self + '_ {
        |source| Self::File { path: path.to_owned(), source }
    }
}
