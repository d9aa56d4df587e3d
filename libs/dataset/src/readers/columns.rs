//! The columns of a table and how a row of them becomes the fields of a row.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema};
use serde_json::{Map, Value};

use super::conversation::CONVERSATION_KEYS;
use super::fields::{FIRST, Fields, Found};
use super::json;
use super::layouts::{self, COMPLETION};
use super::objects::{self, OBJECTS};
use super::split_column;
use super::unworded;
use super::value::{list, value};
use super::videos::{self, VIDEO_KEYS};
use super::worded;
use crate::DatasetError;
use crate::pictures::Cell;

/// Types that an image column may have.
const IMAGE: &str = "encoded bytes, a path, a struct of bytes and path, or a list of these";
/// Type of the other columns.
const TEXT: &str = "text";

/// Names and places of the columns of one file that rows are made of.
#[derive(Debug)]
pub(crate) struct Columns {
    path: PathBuf,
    /// `None` where rows are about videos.
    image: Option<usize>,
    values: Vec<(String, usize)>,
    /// Names of the others.
    unread: Vec<String>,
    /// Names of the classes by their numbers, where the file has them.
    classes: Vec<Arc<str>>,
}

impl Columns {
    /// Looks the columns up and checks their types.
    pub(crate) fn find(path: &Path, schema: &Schema) -> Result<Self, DatasetError> {
        let image = image_column(path, schema)?;
        let mut names = question_columns(path, schema)?;
        let of_split = schema.fields().iter().filter(|field| {
            let (name, data_type) = (field.name(), field.data_type());
            let is_yes_or_no = *data_type == DataType::Boolean || data_type.is_integer();
            split_column::is_one(name) && is_text(data_type)
                || split_column::is_flag(name) && is_yes_or_no
        });
        names.extend(of_split.map(|field| field.name().as_str()));
        names.extend(["solution", "sample_id", "id", "question_id", "system"]);
        names.extend(VIDEO_KEYS);
        // Of another type it is something else, which no row needs.
        let has_first = schema.field_with_name(FIRST).is_ok_and(|field| is_text(field.data_type()));
        names.extend(has_first.then_some(FIRST));
        let mut is_new = std::collections::HashSet::new();
        names.retain(|name| is_new.insert(*name));
        check_once(path, schema, names.iter().copied().chain(["image", "images"]))?;
        let found = |name: &str| schema.index_of(name).ok().map(|idx| (name.to_owned(), idx));
        let values: Vec<(String, usize)> = names.into_iter().filter_map(found).collect();
        for (name, idx) in
            values.iter().filter(|(name, _)| matches!(name.as_str(), "sample_id" | "id"))
        {
            let is_name = |t: &DataType| is_text(t) || t.is_integer() || name == "id";
            expect(path, schema, *idx, "text or integer", is_name)?;
        }
        let is_read =
            |place: &usize| image == Some(*place) || values.iter().any(|(_, read)| read == place);
        let others = (0..schema.fields().len()).filter(|place| !is_read(place));
        let unread = others.map(|place| schema.field(place).name().clone()).collect();
        let classes = class_names(path, schema);
        Ok(Self { path: path.to_owned(), image, values, unread, classes })
    }

    /// The columns that are needed, by their place in the file; the others need not be read.
    pub(crate) fn places(&self) -> Vec<usize> {
        let mut places: Vec<usize> = self.values.iter().map(|(_, idx)| *idx).collect();
        places.extend(self.image);
        places.sort_unstable();
        places
    }

    /// Adds the rows of a batch of all columns, or of those needed, numbered from `first_row`.
    pub(crate) fn push_rows(
        &self,
        batch: &RecordBatch,
        file: &Arc<Path>,
        first_row: usize,
        found: &mut Found,
    ) -> Result<(), DatasetError> {
        found.name_classes(&self.classes);
        self.unread.iter().for_each(|name| found.unread.note(name));
        let places = self.places();
        let is_projected = batch.num_columns() == places.len();
        let column = |place: usize| {
            let idx = places.iter().position(|p| *p == place).filter(|_| is_projected);
            self.plain(batch.column(idx.unwrap_or(place)))
        };
        let images = self.image.map(column).transpose()?;
        let values: Vec<(&String, ArrayRef)> = self
            .values
            .iter()
            .map(|(name, place)| Ok((name, column(*place)?)))
            .collect::<Result<_, DatasetError>>()?;
        for row in 0..batch.num_rows() {
            found.push(file, first_row + row, fields(images.as_ref(), &values, row));
        }
        Ok(())
    }

    /// Dictionaries unpacked, so that the row reader sees plain types only.
    fn plain(&self, column: &ArrayRef) -> Result<ArrayRef, DatasetError> {
        match column.data_type() {
            DataType::Dictionary(_, value) => cast(column, value)
                .map_err(|error| super::content(&self.path, "a table of rows", error)),
            _ => Ok(column.clone()),
        }
    }
}

/// The column of pictures; `None` of rows about videos.
///
/// # Errors
/// None, one of another type, or several.
fn image_column(path: &Path, schema: &Schema) -> Result<Option<usize>, DatasetError> {
    let wrong = |why: String| super::content(path, "a table of rows", why);
    let has_video = VIDEO_KEYS.iter().any(|key| schema.index_of(key).is_ok());
    let image = match (schema.index_of("images"), schema.index_of("image")) {
        (Ok(_), Ok(_)) => return Err(wrong(json::BOTH_IMAGES.to_owned())),
        (Ok(images), Err(_)) => Some(images),
        (Err(_), Err(_)) if has_video => None,
        // As a folder of pictures has it beside them, in its metadata.parquet.
        (Err(_), Err(_)) => match schema.index_of("file_name") {
            Ok(named) => Some(named),
            Err(_) => Some(place(path, schema, "image", IMAGE)?),
        },
        (Err(_), Ok(image)) => Some(image),
    };
    image.map_or(Ok(()), |image| expect(path, schema, image, IMAGE, is_image))?;
    let further = schema.fields().iter().filter(|field| is_image(field.data_type()));
    match json::further_image(further.map(|field| field.name().as_str())) {
        Some(key) => Err(wrong(json::why_not_further(key))),
        None => Ok(image),
    }
}

/// The columns that make the question and its answer, by the layout of the table.
///
/// # Errors
/// A column that is needed is not there, or of another type.
fn question_columns<'a>(path: &Path, schema: &'a Schema) -> Result<Vec<&'a str>, DatasetError> {
    let has = |name: &str| schema.index_of(name).is_ok();
    let is_turns = |key: &&&str| schema.field_with_name(key).is_ok_and(|f| is_list(f.data_type()));
    let mut names: Vec<&str> = Vec::new();
    if let Some(turns) = CONVERSATION_KEYS.iter().find(is_turns) {
        names.extend([*turns, COMPLETION]);
    } else if let Some((asked, answered)) = layouts::pair(has) {
        expect(path, schema, place(path, schema, asked, TEXT)?, TEXT, is_text)?;
        names.extend([asked, answered]);
    } else if unworded::is_one(has) {
        names.extend([unworded::LABEL, unworded::BBOX, "question_id"]);
        names.extend(unworded::EXPRESSIONS);
        names.extend(objects::keys(has));
        let is_class = |t: &DataType| is_text(t) || t.is_integer();
        let has_class = |name: &&str| {
            schema.field_with_name(name).is_ok_and(|field| is_class(field.data_type()))
        };
        names.extend(objects::NAMES.into_iter().filter(has_class));
        let texts = schema.fields().iter().filter(|field| is_text(field.data_type()));
        let texts = texts.map(|field| field.name().as_str());
        names.extend(texts.filter(|name| unworded::is_words(name)));
        return Ok(names);
    } else {
        let problem = place(path, schema, "problem", json::QUESTION)?;
        expect(path, schema, problem, TEXT, is_text)?;
        place(path, schema, "solution", TEXT)?;
        names.push("problem");
    }
    names.extend(has_placed_objects(schema).then_some(OBJECTS));
    names.extend(beside_words(schema));
    Ok(names)
}

/// Checks that no column that is read is there twice.
fn check_once<'a>(
    path: &Path,
    schema: &Schema,
    names: impl Iterator<Item = &'a str>,
) -> Result<(), DatasetError> {
    let n = |name: &str| schema.fields().iter().filter(|field| field.name() == name).count();
    match names.into_iter().find(|name| n(name) > 1) {
        Some(name) => {
            let why = format!("it has several columns {name:?}: keep one of them");
            Err(super::content(path, "a table of rows", why))
        }
        None => Ok(()),
    }
}

/// The names that Hugging Face's `datasets` writes beside the numbers of a column of `ClassLabel`, be it of pictures or of
/// objects.
fn class_names(path: &Path, schema: &Schema) -> Vec<Arc<str>> {
    let written = schema.metadata().get("huggingface");
    let written: Value =
        written.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let within = objects::class_names(&written["info"]["features"]);
    let beside = || objects::class_names(&saved_info(path)?["features"]);
    within.or_else(beside).unwrap_or_default()
}

/// What `save_to_disk` writes beside the files of a data set; `None` if there is no such file.
fn saved_info(path: &Path) -> Option<Value> {
    let info = path.with_file_name("dataset_info.json");
    info.is_file().then(|| crate::files::json(&info).ok()).flatten()
}

fn fields(
    images: Option<&ArrayRef>,
    values: &[(&String, ArrayRef)],
    row: usize,
) -> Result<Fields, String> {
    let named = |name: &str, why: String| format!("column {name:?}: {why}");
    let values = values.iter().map(|(name, column)| {
        let value = value(column, row).map_err(|why| named(name, why))?;
        Ok(((*name).clone(), value))
    });
    let mut values: Map<String, Value> = values.collect::<Result<_, String>>()?;
    layouts::put_as_conversation(&mut values)?;
    let videos = videos::named(&mut values, images.is_some())?;
    let images = images.map(|images| {
        let mut cells = Vec::new();
        push_images(images, row, &mut cells).map(|()| cells)
    });
    Ok(Fields { values, images: images.transpose()?, videos })
}

/// The one picture of a cell.
pub(super) fn image(column: &ArrayRef, row: usize) -> Result<Cell, String> {
    let mut cells = Vec::new();
    push_images(column, row, &mut cells)?;
    cells.pop().ok_or_else(|| "image is an empty list".to_owned())
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
    if fits(field.data_type()) {
        return Ok(());
    }
    Err(DatasetError::ColumnType {
        path: path.to_owned(),
        column: field.name().clone(),
        expected,
        got: field.data_type().to_string(),
    })
}

fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, value) => is_text(value),
        _ => false,
    }
}

/// Columns that belong to a question in words or make its answer no true one; of a type without texts, numbers or truth
/// values they are something else.
fn beside_words(schema: &Schema) -> impl Iterator<Item = &str> {
    let is_read = |field: &&Arc<Field>| {
        let (name, data_type) = (field.name().as_str(), field.data_type());
        let is_beside = worded::is_read(name) || layouts::BESIDE.contains(&name);
        is_beside && is_plain(data_type) || worded::is_flag(name) && *data_type == DataType::Boolean
    };
    schema.fields().iter().filter(is_read).map(|field| field.name().as_str())
}

/// Whether cells are texts, numbers, truth values, or made of these.
fn is_plain(data_type: &DataType) -> bool {
    match data_type {
        DataType::Struct(fields) => fields.iter().all(|field| is_plain(field.data_type())),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            is_plain(item.data_type())
        }
        other => is_text(other) || other.is_numeric() || *other == DataType::Boolean,
    }
}

/// Whether there are names and boxes for the placeholders of texts; of another type it is something else, which no such row
/// needs.
fn has_placed_objects(schema: &Schema) -> bool {
    schema.field_with_name(OBJECTS).is_ok_and(|field| match field.data_type() {
        DataType::Struct(parts) => {
            parts.iter().any(|p| ["ref", "bbox"].contains(&p.name().as_str()))
        }
        _ => false,
    })
}

fn is_list(data_type: &DataType) -> bool {
    use DataType::{Dictionary, FixedSizeList, LargeList, LargeListView, List, ListView};
    match data_type {
        Dictionary(_, value) => is_list(value),
        List(_) | LargeList(_) | FixedSizeList(..) | ListView(_) | LargeListView(_) => true,
        _ => false,
    }
}

fn is_image(data_type: &DataType) -> bool {
    use DataType::{
        Binary, BinaryView, Dictionary, FixedSizeBinary, FixedSizeList, LargeBinary, LargeList,
        LargeListView, List, ListView, Struct,
    };
    match data_type {
        Binary | LargeBinary | BinaryView | FixedSizeBinary(_) => true,
        Dictionary(_, value) => is_image(value),
        List(item)
        | LargeList(item)
        | ListView(item)
        | LargeListView(item)
        | FixedSizeList(item, _) => is_image(item.data_type()),
        Struct(fields) => fields
            .iter()
            .any(|f| matches!(f.name().as_str(), "bytes" | "path") && is_image(f.data_type())),
        other => is_text(other),
    }
}

fn push_images(column: &dyn Array, row: usize, cells: &mut Vec<Cell>) -> Result<(), String> {
    if column.is_null(row) {
        return Err("image is null".to_owned());
    }
    if let Some(items) = list(column, row) {
        return (0..items.len()).try_for_each(|item| push_images(&items, item, cells));
    }
    cells.push(one_image(column, row)?);
    Ok(())
}

fn one_image(column: &dyn Array, row: usize) -> Result<Cell, String> {
    let name = |name: &str| Ok(Cell::Name(name.to_owned()));
    match column.data_type() {
        DataType::Binary => Ok(Cell::Bytes(column.as_binary::<i32>().value(row).to_vec())),
        DataType::LargeBinary => Ok(Cell::Bytes(column.as_binary::<i64>().value(row).to_vec())),
        DataType::BinaryView => Ok(Cell::Bytes(column.as_binary_view().value(row).to_vec())),
        DataType::FixedSizeBinary(_) => {
            Ok(Cell::Bytes(column.as_fixed_size_binary().value(row).to_vec()))
        }
        DataType::Dictionary(..) => one_image(&*super::value::unpacked(column, row)?, 0),
        DataType::Utf8 => name(column.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => name(column.as_string::<i64>().value(row)),
        DataType::Utf8View => name(column.as_string_view().value(row)),
        DataType::Struct(_) => {
            let parts = column.as_struct();
            let part = ["bytes", "path"]
                .into_iter()
                .filter_map(|name| parts.column_by_name(name))
                .find(|part| !part.is_null(row));
            part.map_or(Err("image has neither bytes nor a path".to_owned()), |part| {
                one_image(part, row)
            })
        }
        other => Err(format!("image is {other}, expected {IMAGE}")),
    }
}
