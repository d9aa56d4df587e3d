//! The columns of a data set and how a row of them becomes a sample.

use std::path::{Path, PathBuf};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Schema};

use crate::dataset::FoundRows;
use crate::{DatasetError, Sample, images};

/// Types that an image column may have.
const IMAGE: &str = "encoded bytes, a path, a struct of bytes and path, or a list of these";
/// Type of the other columns.
const TEXT: &str = "text";

/// Names and places of the columns of one file.
#[derive(Debug)]
pub(crate) struct Columns {
    path: PathBuf,
    image: usize,
    problem: usize,
    solution: usize,
    sample_id: Option<usize>,
}

impl Columns {
    /// Looks the columns up and checks their types.
    pub(crate) fn find(path: &Path, schema: &Schema) -> Result<Self, DatasetError> {
        let image = match schema.index_of("images") {
            Ok(images) if schema.index_of("image").is_err() => images,
            _ => place(path, schema, "image", IMAGE)?,
        };
        let problem = place(path, schema, "problem", TEXT)?;
        let solution = place(path, schema, "solution", TEXT)?;
        let sample_id = schema.index_of("sample_id").ok();
        expect(path, schema, image, IMAGE, is_image)?;
        expect(path, schema, problem, TEXT, is_text)?;
        expect(path, schema, solution, TEXT, is_text)?;
        if let Some(sample_id) = sample_id {
            expect(path, schema, sample_id, "text or integer", |t| is_text(t) || t.is_integer())?;
        }
        Ok(Self { path: path.to_owned(), image, problem, solution, sample_id })
    }

    /// The rows of a batch, numbered from `first_row`.
    pub(crate) fn rows(
        &self,
        batch: &RecordBatch,
        first_row: usize,
    ) -> Result<FoundRows, DatasetError> {
        let image = self.plain(batch.column(self.image))?;
        let problem = self.text(batch.column(self.problem))?;
        let solution = self.text(batch.column(self.solution))?;
        let sample_id = self.sample_id.map(|idx| self.text(batch.column(idx))).transpose()?;
        let folder = self.path.parent().unwrap_or(Path::new(""));
        let sample = |row: usize| {
            let mut found = Vec::new();
            push_images(&image, row, folder, &mut found)?;
            let row_number = || (first_row + row).to_string();
            Ok(Sample {
                sample_id: match &sample_id {
                    Some(ids) => cell(ids, row, "sample_id")?,
                    None => row_number(),
                },
                images: found,
                problem: cell(&problem, row, "problem")?,
                solution: cell(&solution, row, "solution")?,
            })
        };
        Ok((0..batch.num_rows()).map(sample).collect())
    }

    fn text(&self, column: &ArrayRef) -> Result<StringArray, DatasetError> {
        let text = self.cast(column, &DataType::Utf8)?;
        Ok(text.as_string::<i32>().clone())
    }

    /// Dictionaries unpacked, so that the row reader sees plain types only.
    fn plain(&self, column: &ArrayRef) -> Result<ArrayRef, DatasetError> {
        match column.data_type() {
            DataType::Dictionary(_, value) => self.cast(column, value),
            _ => Ok(column.clone()),
        }
    }

    fn cast(&self, column: &ArrayRef, to: &DataType) -> Result<ArrayRef, DatasetError> {
        cast(column, to).map_err(|error| DatasetError::Content {
            path: self.path.clone(),
            format: "a table of samples",
            message: error.to_string(),
        })
    }
}

fn place(
    path: &Path,
    schema: &Schema,
    column: &'static str,
    expected: &'static str,
) -> Result<usize, DatasetError> {
    let found = || schema.fields().iter().map(|field| field.name().clone()).collect();
    schema.index_of(column).ok().ok_or_else(|| DatasetError::MissingColumn {
        path: path.to_owned(),
        column,
        expected,
        found: found(),
    })
}

fn expect(
    path: &Path,
    schema: &Schema,
    place: usize,
    expected: &'static str,
    fits: impl Fn(&DataType) -> bool,
) -> Result<(), DatasetError> {
    let field = schema.field(place);
    match fits(field.data_type()) {
        true => Ok(()),
        false => Err(DatasetError::ColumnType {
            path: path.to_owned(),
            column: field.name().clone(),
            expected,
            got: field.data_type().to_string(),
        }),
    }
}

fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, value) => is_text(value),
        _ => false,
    }
}

fn is_image(data_type: &DataType) -> bool {
    use DataType::{Binary, BinaryView, LargeBinary, LargeList, List, Struct};
    match data_type {
        Binary | LargeBinary | BinaryView => true,
        List(item) | LargeList(item) => is_image(item.data_type()),
        Struct(fields) => fields
            .iter()
            .any(|f| matches!(f.name().as_str(), "bytes" | "path") && is_image(f.data_type())),
        other => is_text(other),
    }
}

fn cell(column: &StringArray, row: usize, name: &str) -> Result<String, String> {
    match column.is_null(row) {
        true => Err(format!("{name} is null")),
        false => Ok(column.value(row).to_owned()),
    }
}

fn push_images(
    column: &dyn Array,
    row: usize,
    folder: &Path,
    found: &mut Vec<Vec<u8>>,
) -> Result<(), String> {
    if column.is_null(row) {
        return Err("image is null".to_owned());
    }
    if let Some(items) = list(column, row) {
        return (0..items.len()).try_for_each(|item| push_images(&items, item, folder, found));
    }
    found.push(one_image(column, row, folder)?);
    Ok(())
}

fn list(column: &dyn Array, row: usize) -> Option<ArrayRef> {
    let small = column.as_list_opt::<i32>().map(|list| list.value(row));
    small.or_else(|| column.as_list_opt::<i64>().map(|list| list.value(row)))
}

fn one_image(column: &dyn Array, row: usize, folder: &Path) -> Result<Vec<u8>, String> {
    match column.data_type() {
        DataType::Binary => Ok(column.as_binary::<i32>().value(row).to_vec()),
        DataType::LargeBinary => Ok(column.as_binary::<i64>().value(row).to_vec()),
        DataType::BinaryView => Ok(column.as_binary_view().value(row).to_vec()),
        DataType::Utf8 => images::load(column.as_string::<i32>().value(row), folder),
        DataType::LargeUtf8 => images::load(column.as_string::<i64>().value(row), folder),
        DataType::Utf8View => images::load(column.as_string_view().value(row), folder),
        DataType::Struct(_) => {
            let parts = column.as_struct();
            let part = ["bytes", "path"]
                .into_iter()
                .filter_map(|name| parts.column_by_name(name))
                .find(|part| !part.is_null(row));
            part.map_or(Err("image has neither bytes nor a path".to_owned()), |part| {
                one_image(part, row, folder)
            })
        }
        other => Err(format!("image is {other}, expected {IMAGE}")),
    }
}
