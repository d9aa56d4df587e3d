//! One reader for each kind of file; all of them find the same rows.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use crate::files::{Files, Kind};
use crate::path::Locator;
use crate::{DatasetError, OpenOptions};

mod annotated;
mod arrow_file;
mod coco;
mod columns;
mod conversation;
mod fields;
mod json;
mod json_text;
mod pages;
mod parquet_file;
mod value;
mod voc;

pub(crate) use fields::{Draft, DraftTruth, Found};

/// Reads all files of a data set, in their order.
///
/// # Errors
/// A file that cannot be read, is not of its kind or lacks a column.
pub(crate) fn read(files: &Files, options: &OpenOptions) -> Result<Found, DatasetError> {
    let mut found = Found::default();
    found.pictures.limit(options.max_image_pixels);
    let image_root = options.image_root.as_deref();
    if files.kind == Kind::Voc {
        voc::read(&files.paths, image_root, options.allow_outside, &mut found)?;
        return Ok(found);
    }
    for path in &files.paths {
        let first_row = found.rows.len();
        let is_coco = files.kind == Kind::Json && !json::is_rows(path)?;
        if is_coco {
            coco::read(path, image_root, options.allow_outside, &mut found)?;
            continue;
        }
        found.pictures.locate_with(Locator::new(path, image_root, options.allow_outside));
        match files.kind {
            Kind::Parquet => parquet_file::read(path, &mut found)?,
            Kind::Arrow => arrow_file::read(path, &mut found)?,
            Kind::Lines | Kind::Json | Kind::Voc => json::read(path, &mut found)?,
        }
        count_through(&mut found.rows[first_row..], first_row);
        if files.paths.len() > 1 {
            name_file(&mut found.rows[first_row..], path);
        }
    }
    Ok(found)
}

/// Names that are row numbers count on from file to file, so that they stay unique.
fn count_through(rows: &mut [Result<Draft, crate::Skipped>], first_row: usize) {
    if first_row == 0 {
        return;
    }
    for draft in rows.iter_mut().flatten() {
        let origin = &mut draft.origin;
        if *origin.sample_id == *origin.row.to_string() {
            origin.sample_id = Arc::from((first_row + origin.row).to_string());
        }
    }
}

/// Of several files, what was skipped names its own.
fn name_file(rows: &mut [Result<Draft, crate::Skipped>], path: &Path) {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    for skipped in rows.iter_mut().filter_map(|row| row.as_mut().err()) {
        skipped.place = format!("{name}, {}", skipped.place);
    }
}

/// Opens a regular file: a pipe would wait for somebody to write, a device may have no end.
fn open_file(path: &Path) -> Result<File, DatasetError> {
    let failed = |source| DatasetError::Read { path: path.to_owned(), source };
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(DatasetError::NotAFile { path: path.to_owned() });
    }
    File::open(path).map_err(failed)
}

fn content(path: &Path, format: &'static str, message: impl ToString) -> DatasetError {
    DatasetError::Content { path: path.to_owned(), format, message: message.to_string() }
}
