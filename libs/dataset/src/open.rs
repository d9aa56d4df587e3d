//! Which reader a file or folder is for.

use std::fs;
use std::path::{Path, PathBuf};

use crate::dataset::FoundRows;
use crate::{DatasetError, coco, json, table, voc};

/// All rows of a file, or of the files of a folder.
pub(crate) fn read(path: &Path) -> Result<FoundRows, DatasetError> {
    match path.is_dir() {
        true => read_folder(path),
        false => read_file(path),
    }
}

fn read_file(path: &Path) -> Result<FoundRows, DatasetError> {
    match extension(path).as_str() {
        "parquet" => table::read_parquet(path),
        "arrow" => table::read_arrow(path),
        "jsonl" => json::read_lines(path),
        "json" => coco::read(path),
        _ if path.exists() => Err(DatasetError::Format { path: path.to_owned() }),
        _ => Err(DatasetError::Read {
            path: path.to_owned(),
            source: std::io::ErrorKind::NotFound.into(),
        }),
    }
}

fn read_folder(folder: &Path) -> Result<FoundRows, DatasetError> {
    let files = list(folder)?;
    for kind in ["parquet", "arrow", "jsonl"] {
        let shards: Vec<_> = files.iter().filter(|file| extension(file) == kind).collect();
        if !shards.is_empty() {
            return read_shards(&shards);
        }
    }
    let xml: Vec<_> = files.iter().filter(|file| extension(file) == "xml").collect();
    match xml.is_empty() {
        true => Err(DatasetError::Format { path: folder.to_owned() }),
        false => voc::read(&xml),
    }
}

/// Rows one file after the other. Names that are row numbers count through, so that they stay unique.
fn read_shards(shards: &[&PathBuf]) -> Result<FoundRows, DatasetError> {
    let mut rows: FoundRows = Vec::new();
    for shard in shards {
        let before = rows.len();
        rows.extend(read_file(shard)?.into_iter().enumerate().map(|(row, sample)| {
            let mut sample = sample?;
            if sample.sample_id == row.to_string() {
                sample.sample_id = (before + row).to_string();
            }
            Ok(sample)
        }));
    }
    Ok(rows)
}

fn list(folder: &Path) -> Result<Vec<PathBuf>, DatasetError> {
    let failed = |source| DatasetError::Read { path: folder.to_owned(), source };
    let entries = fs::read_dir(folder).map_err(failed)?;
    let mut files = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(failed)?;
    files.sort();
    Ok(files)
}

fn extension(path: &Path) -> String {
    path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase()
}
