//! Samples of Arrow record batches, as Parquet and Arrow files give them.

use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::Path;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::reader::{FileReader, StreamReader};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::DatasetError;
use crate::columns::Columns;
use crate::dataset::FoundRows;

/// How an Arrow file begins; without it, the content is a stream, as Hugging Face `datasets` saves it.
const ARROW_MAGIC: &[u8; 6] = b"ARROW1";

/// Reads a Parquet file.
pub(crate) fn read_parquet(path: &Path) -> Result<FoundRows, DatasetError> {
    let file = open(path)?;
    let content = |message: String| content(path, "Parquet", message);
    let builder = ParquetRecordBatchReaderBuilder::try_new(file)
        .map_err(|error| content(error.to_string()))?;
    let schema = builder.schema().clone();
    let reader = builder.build().map_err(|error| content(error.to_string()))?;
    read_batches(path, "Parquet", &schema, reader)
}

/// Reads an Arrow IPC file or stream.
pub(crate) fn read_arrow(path: &Path) -> Result<FoundRows, DatasetError> {
    let mut file = BufReader::new(open(path)?);
    let failed = |source| DatasetError::Read { path: path.to_owned(), source };
    let mut magic = Vec::new();
    file.by_ref().take(ARROW_MAGIC.len() as u64).read_to_end(&mut magic).map_err(failed)?;
    file.rewind().map_err(failed)?;
    let content = |error: ArrowError| content(path, "Arrow", error.to_string());
    if magic == ARROW_MAGIC {
        let reader = FileReader::try_new(file, None).map_err(content)?;
        read_batches(path, "Arrow", &reader.schema(), reader)
    } else {
        let reader = StreamReader::try_new(file, None).map_err(content)?;
        read_batches(path, "Arrow", &reader.schema(), reader)
    }
}

fn read_batches(
    path: &Path,
    format: &'static str,
    schema: &SchemaRef,
    batches: impl Iterator<Item = Result<RecordBatch, ArrowError>>,
) -> Result<FoundRows, DatasetError> {
    let columns = Columns::find(path, schema)?;
    let mut rows = Vec::new();
    for batch in batches {
        let batch = batch.map_err(|error| content(path, format, error.to_string()))?;
        let first_row = rows.len();
        rows.extend(columns.rows(&batch, first_row)?);
    }
    Ok(rows)
}

fn open(path: &Path) -> Result<File, DatasetError> {
    File::open(path).map_err(|source| DatasetError::Read { path: path.to_owned(), source })
}

fn content(path: &Path, format: &'static str, message: String) -> DatasetError {
    DatasetError::Content { path: path.to_owned(), format, message }
}
