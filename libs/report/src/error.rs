//! What can go wrong while a report is made.

use std::path::PathBuf;

/// A report that cannot be made: only the folder itself and the disk can be at fault.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The run folder is not there.
    #[error("expected the folder of a run at {0:?}, got no folder")]
    NoRunFolder(PathBuf),
    /// The folder holds nothing that a run writes.
    #[error(
        "{0:?} holds no run: there is no metrics.jsonl, evaluations.jsonl or config.toml; name a folder under out/"
    )]
    EmptyFolder(PathBuf),
    /// A file exists and cannot be read.
    #[error("cannot read {path:?}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file is not what [`write_results`](crate::write_results) writes.
    #[error("{path:?} is no table.json of `vrft table`: {why}")]
    NoTable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Two tables do not go together.
    #[error("{path:?} cannot be joined: {why}")]
    Join {
        /// The second of them.
        path: PathBuf,
        /// What clashes.
        why: String,
    },
    /// A file cannot be written.
    #[error("cannot write {path:?}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
}
