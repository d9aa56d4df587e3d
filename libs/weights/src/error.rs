//! What can go wrong between the weights in the learner and the weights in a rollout.

use std::io;
use std::path::{Path, PathBuf};

/// Weights that could not be published, moved or read.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The operating system refused.
    #[error("cannot {action} {path:?}: {source}")]
    Io {
        /// What was tried, as in "write".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file that was cut short, or belongs to another version.
    #[error("{path:?} should have {expected} bytes for policy version {version}, got {got}")]
    Size {
        /// The file.
        path: PathBuf,
        /// The version that was announced.
        version: u64,
        /// The size that was announced.
        expected: u64,
        /// The size found.
        got: u64,
    },
    /// A file of the right size with other content.
    #[error(
        "{path:?} is damaged: policy version {version} has checksum {expected}, the file has {got}"
    )]
    Checksum {
        /// The file.
        path: PathBuf,
        /// The version that was announced.
        version: u64,
        /// The checksum that was announced.
        expected: String,
        /// The checksum found.
        got: String,
    },
    /// An intact file that is not safetensors, or tensors that cannot be written as such.
    #[error("{path:?} as safetensors: {message}")]
    Format {
        /// The file.
        path: PathBuf,
        /// The parser's own words.
        message: String,
    },
    /// A session between learner and rollout could not be opened or used.
    #[error("cannot {action} on {endpoint}: {message}")]
    Link {
        /// What was tried.
        action: &'static str,
        /// The endpoint, as in `tcp/127.0.0.1:7547`.
        endpoint: String,
        /// What the transport said.
        message: String,
    },
    /// The learner answered that it cannot serve this.
    #[error("the learner does not serve policy version {version}: {message}")]
    Refused {
        /// The version that was asked for.
        version: u64,
        /// The learner's own words.
        message: String,
    },
    /// No answer, however often the client asked.
    #[error(
        "policy version {version} stopped at {got} of {expected} bytes: no answer from {endpoint} in {attempts} attempts"
    )]
    NoAnswer {
        /// The version that was asked for.
        version: u64,
        /// The endpoint of the learner.
        endpoint: String,
        /// Bytes that arrived; they are kept, and the next pull continues from there.
        got: u64,
        /// Bytes there are.
        expected: u64,
        /// Attempts made for the chunk that did not come.
        attempts: u32,
    },
    /// A file that this machine does not see, and no endpoint to pull it from.
    #[error(
        "{location:?} is not on this machine: set weights.endpoint to an address of the learner's machine"
    )]
    Elsewhere {
        /// The file, as the learner's machine names it.
        location: String,
    },
    /// A tensor operation failed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

impl WeightsError {
    /// Turns an error of the operating system into ours, with what was tried and where.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}
