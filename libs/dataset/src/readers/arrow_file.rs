//! Rows of an Arrow file (Feather) or stream.

use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use vrft_messages::ipc;

use super::columns::Columns;
use super::fields::Found;
use crate::DatasetError;

/// Reads an Arrow IPC file, or a stream as Hugging Face `datasets` saves it. What the file claims of its own lengths is
/// checked first, so that a damaged one takes no more memory than it has bytes.
pub(crate) fn read(path: &Path, found: &mut Found) -> Result<(), DatasetError> {
    let failed = |source| DatasetError::Read { path: path.to_owned(), source };
    let bytes = ipc::read_bytes(path).map_err(failed)?;
    let content = |error: ArrowError| super::content(path, "Arrow", error);
    if ipc::is_file(&bytes) {
        let reader = ipc::read_file(&bytes).map_err(content)?;
        read_batches(path, &reader.schema(), reader, found)
    } else {
        let reader = ipc::read_stream(&bytes).map_err(content)?;
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
