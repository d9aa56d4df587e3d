//! Rows of an Arrow file (Feather) or stream.

use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::reader::{FileReader, StreamReader};

use super::columns::Columns;
use super::fields::Found;
use crate::DatasetError;

/// How an Arrow file begins; without it, the content is a stream, as Hugging Face `datasets` saves it.
const ARROW_MAGIC: &[u8; 6] = b"ARROW1";

/// Reads an Arrow IPC file or stream.
pub(crate) fn read(path: &Path, found: &mut Found) -> Result<(), DatasetError> {
    let mut file = BufReader::new(super::open_file(path)?);
    let failed = |source| DatasetError::Read { path: path.to_owned(), source };
    let mut magic = Vec::new();
    file.by_ref().take(ARROW_MAGIC.len() as u64).read_to_end(&mut magic).map_err(failed)?;
    file.rewind().map_err(failed)?;
    let content = |error: ArrowError| super::content(path, "Arrow", error);
    if magic == ARROW_MAGIC {
        let reader: FileReader<BufReader<File>> =
            FileReader::try_new(file, None).map_err(content)?;
        read_batches(path, &reader.schema(), reader, found)
    } else {
        let reader = StreamReader::try_new(file, None).map_err(content)?;
        read_batches(path, &reader.schema(), reader, found)
    }
}

fn read_batches(
    path: &Path,
    schema: &SchemaRef,
    batches: impl Iterator<Item = Result<RecordBatch, ArrowError>>,
    found: &mut Found,
) -> Result<(), DatasetError> {
    let columns = Columns::find(path, schema)?;
    let file: Arc<Path> = path.into();
    let mut first_row = 0;
    for batch in batches {
        let batch = batch.map_err(|error| super::content(path, "Arrow", error))?;
        columns.push_rows(&batch, &file, first_row, found)?;
        first_row += batch.num_rows();
    }
    Ok(())
}
