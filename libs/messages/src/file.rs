//! A message in a file: Arrow IPC, columns as on the wire, name and version of the schema in the file's metadata.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use arrow::array::{RecordBatch, StructArray};
use arrow::error::ArrowError;
use arrow::ipc::writer::FileWriter;

use crate::{Message, MessageError, SCHEMA_VERSION, ipc};

/// Key of the schema's version in the metadata of a file; messages have it in theirs.
const VERSION_KEY: &str = "vrft_schema_version";

/// Why a message could not be written to a file, or read from one.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file or what it is made of.
    #[error("cannot {action} {path:?}: {source}")]
    File {
        /// Write or read.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system or the format said.
        source: ArrowError,
    },
    /// A file of another version of the schemas.
    #[error(
        "{path:?} was written with version {got} of the message schemas, this program reads {SCHEMA_VERSION}: make it \
         anew, or use the version of the program that wrote it"
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Schema version of the file; files before version 2 do not state it.
        got: String,
    },
    /// A file that holds something else.
    #[error("{path:?}: {source}")]
    Message {
        /// The file.
        path: PathBuf,
        /// What is wrong with the message.
        source: MessageError,
    },
}

/// Writes a message as the only one of a file, whole or not at all.
///
/// # Errors
/// A file that cannot be written.
pub fn write<M: Message>(message: &M, path: &Path) -> Result<(), FileError> {
    let write = || -> Result<(), ArrowError> {
        let partial = path.with_extension("tmp");
        let batch = RecordBatch::from(message.to_arrow());
        let mut writer = FileWriter::try_new(File::create(&partial)?, &batch.schema())?;
        writer.write_metadata(VERSION_KEY, SCHEMA_VERSION.to_string());
        writer.write(&batch)?;
        writer.finish()?;
        Ok(fs::rename(&partial, path)?)
    };
    write().map_err(failed("write", path))
}

/// Reads what [`write()`] wrote.
///
/// # Errors
/// A file that cannot be read, that is damaged, of another version, or that holds another message.
pub fn read<M: Message>(path: &Path) -> Result<M, FileError> {
    let read = || -> Result<(String, StructArray), ArrowError> {
        let bytes = ipc::read_bytes(path)?;
        let mut batches = ipc::read_file(&bytes)?;
        let version = batches.custom_metadata().get(VERSION_KEY).cloned();
        let nothing = || ArrowError::ParseError("it holds no message".to_owned());
        let array = StructArray::from(batches.next().ok_or_else(nothing)??);
        Ok((version.unwrap_or_else(|| "1".to_owned()), array))
    };
    let (version, array) = read().map_err(failed("read", path))?;
    if version != SCHEMA_VERSION.to_string() {
        return Err(FileError::Version { path: path.to_owned(), got: version });
    }
    M::from_arrow(&array).map_err(|source| FileError::Message { path: path.to_owned(), source })
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(ArrowError) -> FileError {
    let path = path.to_owned();
    move |source| FileError::File { action, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Credit, Metric, MetricBatch};

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let folder = std::env::temp_dir().join(format!("vrft-message-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("metrics.arrow");
        let metric = Metric { step: 1, name: "x".into(), value: 0.5, at: 2.0 };
        let batch = MetricBatch { metrics: vec![metric] };
        write(&batch, &path).unwrap();
        assert_eq!(read::<MetricBatch>(&path).unwrap(), batch);
        let error = read::<Credit>(&path).unwrap_err().to_string();
        assert!(error.contains("metrics.arrow") && error.contains("no column"), "{error}");
        let error = read::<Credit>(&folder.join("nowhere.arrow")).unwrap_err().to_string();
        assert!(error.starts_with("cannot read") && error.contains("nowhere"), "{error}");
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_file_of_another_version_says_so() {
        let folder = std::env::temp_dir().join(format!("vrft-version-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("credit.arrow");
        let credit = Credit { prompts: 1, policy_version: 0, first_prompt_id: 0 };
        let batch = RecordBatch::from(credit.to_arrow());
        let mut writer =
            FileWriter::try_new(File::create(&path).unwrap(), &batch.schema()).unwrap();
        writer.write(&batch).unwrap();
        writer.finish().unwrap();
        let error = read::<Credit>(&path).unwrap_err().to_string();
        assert!(error.contains("credit.arrow\" was written with version 1"), "{error}");
        assert!(error.contains("this program reads 2"), "{error}");
        fs::remove_dir_all(&folder).unwrap();
    }
}
