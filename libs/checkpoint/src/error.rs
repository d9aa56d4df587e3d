//! What can be wrong with the files of a model.

use std::path::{Path, PathBuf};

/// A file of a model that cannot be used, or a model that is not on this machine.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// A file is absent or unreadable.
    #[error("cannot read {path:?}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file could not be written.
    #[error("cannot write {path:?}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file that is sound, with something in it that is not read.
    #[error("{path:?} is not supported: {what}")]
    NotSupported {
        /// The file.
        path: PathBuf,
        /// What of it is not, by name, and what is.
        what: String,
    },
    /// A pointer of Git LFS where a file should be.
    #[error(
        "{path:?} is a Git LFS pointer and not the file itself: `git lfs pull` in its folder fetches it"
    )]
    Pointer {
        /// The file.
        path: PathBuf,
    },
    /// A folder without the file of weights that is looked for.
    #[error("{dir:?} has no {wanted}: {why}")]
    NoWeights {
        /// The folder.
        dir: PathBuf,
        /// The file.
        wanted: &'static str,
        /// What is there instead, and what to do.
        why: String,
    },
    /// A file that is there and is not what its name promises.
    #[error("{path:?} is damaged: {message}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// Weights of 4 bits where numbers are needed.
    #[error(
        "{path:?} has tensor {name} in 4 bits (nf4), and numbers are needed here: name the checkpoint that it was made of, or \
         what `vrft merge` writes"
    )]
    FourBits {
        /// The file.
        path: PathBuf,
        /// Name of the tensor.
        name: String,
    },
    /// A key of a JSON file that is absent, of the wrong type, or has a value that is not supported.
    #[error("{}: {key} should be {expected}, got {got}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// The key with the sections around it, as in `text_config.hidden_size`.
        key: Box<str>,
        /// What would be accepted.
        expected: Box<str>,
        /// The value found.
        got: Box<str>,
    },
    /// Adapters of another shape than the configuration asks for.
    #[error("policy.lora should be {expected}, got {got}")]
    Lora {
        /// What the adapter's files say.
        expected: String,
        /// What the configuration says.
        got: String,
    },
    /// An adapter without the model that it was trained beside.
    #[error(
        "the adapter {adapter:?} was trained beside {base:?}, which is not there: {reason}. Name the base by --base DIR, or by \
         policy.base in a configuration"
    )]
    Base {
        /// Folder of the adapter.
        adapter: PathBuf,
        /// The folder or the name that its settings have.
        base: String,
        /// Where it was looked for.
        reason: String,
    },
    /// An adapter beside a model that it was not trained beside.
    #[error(
        "{adapter:?} is an adapter of another model than {base:?}: {reason}. Name its own base by --base DIR, or by policy.base \
         in a configuration"
    )]
    OtherBase {
        /// Folder of the adapter.
        adapter: PathBuf,
        /// Folder of the model.
        base: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// A model of the Hugging Face hub that is neither on this machine nor to be had.
    #[error(
        "there is no directory {model:?}, the model of that name is not in the cache {cache:?}, \
         {reason}; where there is a network, `hf download {model}` fills the cache; \
         or put the model's files ({files}) into a directory and name that directory"
    )]
    Hub {
        /// Owner and name.
        model: String,
        /// Where downloaded models are kept.
        cache: PathBuf,
        /// What the cache lacks, and why it stays so.
        reason: String,
        /// The files that it is made of.
        files: &'static str,
    },
}

impl CheckpointError {
    /// A file that is there and is not what its name promises.
    pub fn damaged(path: &Path, message: impl ToString) -> Self {
        Self::Damaged { path: path.to_owned(), message: message.to_string() }
    }

    pub(crate) fn read(path: &Path) -> impl Fn(std::io::Error) -> Self + '_ {
        |source| Self::Read { path: path.to_owned(), source }
    }

    pub(crate) fn write(path: &Path) -> impl Fn(std::io::Error) -> Self + '_ {
        |source| Self::Write { path: path.to_owned(), source }
    }
}
