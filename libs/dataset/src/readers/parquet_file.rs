//! Rows of a Parquet file.

use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use super::columns::Columns;
use super::fields::Found;
use super::pages;
use crate::DatasetError;

/// Rows that are decoded together: pictures inside are large.
const BATCH_ROWS: usize = 64;

/// Reads a Parquet file, of its columns those that rows are made of.
pub(crate) fn read(path: &Path, found: &mut Found) -> Result<(), DatasetError> {
    let choose = |schema: &Schema| {
        let columns = Columns::find(path, schema)?;
        let places = columns.places();
        Ok((columns, places))
    };
    let file: Arc<Path> = path.into();
    each_batch(path, choose, |columns, first_row, batch| {
        columns.push_rows(batch, &file, first_row, found)
    })
}

/// Reads the columns of a Parquet file that have one of these names, or begin with one that ends in `/`; calls `take` with
/// the number of the first row of each batch and the batch.
///
/// # Errors
/// A file that cannot be read; what `take` says of its content.
pub(super) fn batches(
    path: &Path,
    wanted: &[&str],
    mut take: impl FnMut(usize, &RecordBatch) -> Result<(), String>,
) -> Result<(), DatasetError> {
    let is_wanted =
        |name: &str| wanted.iter().any(|w| *w == name || w.ends_with('/') && name.starts_with(w));
    let choose = |schema: &Schema| {
        let fields = schema.fields().iter().enumerate();
        let places = fields.filter(|(_, field)| is_wanted(field.name())).map(|(place, _)| place);
        Ok(((), places.collect()))
    };
    each_batch(path, choose, |(), first_row, batch| {
        take(first_row, batch).map_err(|message| super::content(path, "Parquet", message))
    })
}

/// `take` of every batch of the columns at the places that `choose` gives, with what it gives beside them and the number of
/// the batch's first row.
fn each_batch<C>(
    path: &Path,
    choose: impl FnOnce(&Schema) -> Result<(C, Vec<usize>), DatasetError>,
    mut take: impl FnMut(&C, usize, &RecordBatch) -> Result<(), DatasetError>,
) -> Result<(), DatasetError> {
    let content = |message: String| super::content(path, "Parquet", message);
    let failed = |source| DatasetError::Read { path: path.to_owned(), source };
    let opened = super::open_file(path)?;
    let pages = opened.try_clone().map_err(failed)?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(opened)
        .map_err(|error| content(error.to_string()))?;
    let (chosen, places) = choose(builder.schema())?;
    let needed = ProjectionMask::roots(builder.parquet_schema(), places);
    pages::check(&pages, builder.metadata(), &needed).map_err(content)?;
    let reader = builder.with_projection(needed).with_batch_size(BATCH_ROWS).build();
    let mut reader = reader.map_err(|error| content(error.to_string()))?;
    let mut first_row = 0;
    while let Some(batch) = next(&mut reader).map_err(content)? {
        take(&chosen, first_row, &batch)?;
        first_row += batch.num_rows();
    }
    Ok(())
}

/// The next rows. The reader divides by the number of values that a damaged page claims to have, which may be none: that
/// ends the file here and not the program.
fn next(reader: &mut ParquetRecordBatchReader) -> Result<Option<RecordBatch>, String> {
    let read = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| reader.next()));
    let batch = read.map_err(|_panic| "a page is damaged".to_owned())?;
    batch.transpose().map_err(|error| error.to_string())
}
