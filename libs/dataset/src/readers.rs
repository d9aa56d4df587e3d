//! One reader for each kind of file; all of them find the same rows.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::files::{Files, Kind};
use crate::path::Locator;
use crate::{DataSpace, DatasetError, OpenOptions};

mod annotated;
mod arrow_file;
mod cars;
mod classes;
mod coco;
mod columns;
mod conversation;
mod csv;
mod fields;
mod frames;
mod json;
mod json_place;
mod json_text;
mod labeled;
mod layouts;
mod mat;
mod objects;
mod pages;
mod parquet_file;
mod placeholders;
mod reasoning;
mod referring;
mod robot;
mod spellings;
mod split_column;
mod unread;
mod unworded;
mod value;
mod videos;
mod voc;
mod worded;

pub(crate) use annotated::Marked;
pub(crate) use fields::{Draft, DraftTruth, Found};
pub(crate) use robot::{INFO, splits_of};
pub(crate) use spellings::is_same;

/// Reads all files of a data set, in their order.
///
/// # Errors
/// A file that cannot be read, is not of its kind or lacks a column.
pub(crate) fn read(files: &Files, options: &OpenOptions) -> Result<Found, DatasetError> {
    let mut found = Found::default();
    found.pictures.limit(options.max_image_pixels);
    found.frames.clone_from(&options.frames);
    found.may_be_pixels = options.space.is_none_or(|space| space == DataSpace::Pixels);
    let image_root = options.image_root.as_deref();
    let (selection, split) = (&options.selection, files.split.as_deref());
    match files.kind {
        Kind::Robot => {
            let folders = files.paths.iter();
            folders.into_iter().try_for_each(|folder| {
                robot::read(folder, split, &options.robot, options.allow_outside, &mut found)
            })?;
            return Ok(found);
        }
        Kind::Voc => {
            voc::read(&files.paths, image_root, options.allow_outside, selection, &mut found)?;
            return Ok(found);
        }
        Kind::Pictures => {
            labeled::read_folders(&files.paths, options, &mut found)?;
            return Ok(found);
        }
        Kind::Reasoning => {
            reasoning::read(&files.paths, options, &mut found)?;
            return Ok(found);
        }
        _ => {}
    }
    found.notes.extend(several_folders(&files.paths));
    for path in &files.paths {
        let first_row = found.rows.len();
        let layout = layout(path, files.kind)?;
        match layout {
            Layout::Coco => {
                coco::read(path, image_root, options.allow_outside, selection, &mut found)?;
            }
            Layout::Splits => labeled::read_splits(path, split, options, &mut found)?,
            Layout::List => labeled::read_list(path, options, &mut found)?,
            Layout::Csv => labeled::read_csv(path, options, &mut found)?,
            Layout::Mat => labeled::read_mat(path, split, options, &mut found)?,
            Layout::Referring => referring::read(path, split, options, &mut found)?,
            Layout::Mot => frames::read_mot(path, options, &mut found)?,
            Layout::Charades => frames::read_charades(path, options, &mut found)?,
            Layout::Parquet | Layout::Arrow | Layout::Rows => {
                found.ask(selection)?;
                let locator = Locator::new(path, image_root, options.allow_outside);
                found.pictures.locate_with(locator);
                match layout {
                    Layout::Parquet => parquet_file::read(path, &mut found)?,
                    Layout::Arrow => arrow_file::read(path, &mut found)?,
                    _ => json::read(path, &mut found)?,
                }
                found.finish_file(path)?;
                count_through(&mut found.rows[first_row..], first_row);
            }
        }
        if files.paths.len() > 1 {
            name_file(&mut found.rows[first_row..], path);
        }
        // A list of rows chooses among the splits.
        if selection.rows.is_none() {
            found.splits.check(path)?;
            found.notes.extend(found.splits.told());
        }
    }
    Ok(found)
}

/// That files of several folders are read as one set: on the hub each may be a set of its own.
fn several_folders(files: &[PathBuf]) -> Option<String> {
    let names = files.iter().filter_map(|file| file.parent()?.file_name());
    let names: BTreeSet<_> = names.map(|name| format!("{:?}", name.to_string_lossy())).collect();
    let n = names.len();
    (n > 1).then(|| {
        let first: Vec<String> = names.into_iter().take(N_FOLDERS).collect();
        let more = if n > N_FOLDERS { ", …" } else { "" };
        format!("the files of {n} folders ({}{more}) are read as one data set: name one of them if each is one", first.join(", "))
    })
}

/// How rows lie in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    Parquet,
    Arrow,
    Rows,
    Coco,
    Splits,
    List,
    Csv,
    Mat,
    Referring,
    Mot,
    Charades,
}

/// Folders that a note names.
const N_FOLDERS: usize = 5;

/// Bytes of a file that tell what is in it.
const PEEKED_BYTES: u64 = 1 << 16;

/// What a file holds, by its kind and for `.json` and `.txt` by its beginning.
fn layout(path: &Path, kind: Kind) -> Result<Layout, DatasetError> {
    Ok(match kind {
        Kind::Parquet => Layout::Parquet,
        Kind::Arrow => Layout::Arrow,
        Kind::List => {
            let start = start_of(path)?;
            let line = start.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
            if frames::is_mot(line) {
                Layout::Mot
            } else if frames::is_charades(line) {
                Layout::Charades
            } else {
                Layout::List
            }
        }
        Kind::Csv => Layout::Csv,
        Kind::Mat => Layout::Mat,
        Kind::Json => {
            let start = start_of(path)?;
            if labeled::is_splits(&start) {
                Layout::Splits
            } else if referring::is_one(&start) {
                Layout::Referring
            } else if json::is_rows(path)? {
                Layout::Rows
            } else {
                Layout::Coco
            }
        }
        Kind::Lines | Kind::Voc | Kind::Pictures | Kind::Reasoning | Kind::Robot => Layout::Rows,
    })
}

/// The beginning of a file of text.
fn start_of(path: &Path) -> Result<String, DatasetError> {
    let mut start = Vec::new();
    json_text::open(path)?
        .take(PEEKED_BYTES)
        .read_to_end(&mut start)
        .map_err(|source| DatasetError::Read { path: path.to_owned(), source })?;
    Ok(String::from_utf8_lossy(&start).into_owned())
}

/// Whether a table has the name of a file in each row, as `datasets` wants it in a `metadata.csv`.
///
/// # Errors
/// A file that cannot be read.
pub(crate) fn names_files(path: &Path) -> Result<bool, DatasetError> {
    let start = start_of(path)?;
    let header = start.trim_start_matches('\u{feff}').lines().next().unwrap_or_default();
    let mut names = header.split([',', ';', '\t']).map(|name| name.trim().trim_matches('"'));
    Ok(names.any(|name| name == "file_name"))
}

/// Whether a `.json` file has the rows of several splits in it.
///
/// # Errors
/// A file that cannot be read.
pub(crate) fn has_all_splits(path: &Path) -> Result<bool, DatasetError> {
    let start = start_of(path)?;
    Ok(labeled::is_splits(&start) || referring::is_one(&start))
}

/// Whether a `.json` file is a list of rows, or COCO's annotations by its beginning.
///
/// # Errors
/// A file that cannot be read.
pub(crate) fn has_rows(path: &Path) -> Result<bool, DatasetError> {
    let start = start_of(path)?;
    let is_of_objects =
        start.trim_start().strip_prefix('[').is_some_and(|rest| rest.trim_start().starts_with('{'));
    let has = |key: &str| start.contains(&format!("\"{key}\""));
    let is_coco = start.trim_start().starts_with('{')
        && has("images")
        && ["annotations", "file_name", "coco_url"].iter().any(|key| has(key));
    Ok(is_of_objects || is_coco || json::is_rows(path)? && !start.trim_start().starts_with('['))
}

/// Whether a `.json` file is one of ReasonSeg, which lie beside their pictures.
///
/// # Errors
/// A file that cannot be read.
pub(crate) fn is_reasoning(path: &Path) -> Result<bool, DatasetError> {
    Ok(reasoning::is_one(&start_of(path)?))
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
pub(crate) fn open_file(path: &Path) -> Result<File, DatasetError> {
    let failed = |source| DatasetError::Read { path: path.to_owned(), source };
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(DatasetError::NotAFile { path: path.to_owned() });
    }
    let mut file = File::open(path).map_err(failed)?;
    let mut start = [0; LFS_POINTER.len()];
    let n_read = file.read(&mut start).map_err(failed)?;
    if start[..n_read] == *LFS_POINTER {
        let why = "it is a Git LFS pointer: `git lfs pull` fetches the file itself";
        return Err(content(path, "rows", why));
    }
    file.rewind().map_err(failed)?;
    Ok(file)
}

/// How a file begins that stands for one which Git keeps elsewhere.
const LFS_POINTER: &[u8] = b"version https://git-lfs";

fn content(path: &Path, format: &'static str, message: impl ToString) -> DatasetError {
    DatasetError::Content { path: path.to_owned(), format, message: message.to_string() }
}

#[cfg(test)]
mod tests;
