//! Folders of published data sets, each told by what lies in it.

use std::path::{Path, PathBuf};

use super::{
    Files, Kind, MAX_DEPTH, canonical, choose, collect, collect_if, is_hidden, keyword, list,
    read_text,
};
use crate::DatasetError;

/// Names of COCO annotations that lie beside their pictures: Roboflow's (RF100-VL), and those of ODinW.
const COCO_FILES: [&str; 3] = [
    "_annotations.coco.json",
    "annotations_without_background.json",
    "annotations_without_background_converted.json",
];

/// Name of a table of pictures and their classes.
const METADATA: &str = "metadata.csv";

/// The files of a split of a folder that is laid out in one of the known ways; `None` if it is in none of them.
///
/// # Errors
/// As [`super::find`].
pub(super) fn find(folder: &Path, split: Option<&str>) -> Result<Option<Files>, DatasetError> {
    for find in [coco, voc, reasoning, tables_of_text, metadata, pictures] {
        if let Some(files) = find(folder, split)? {
            return Ok(Some(files));
        }
    }
    Ok(None)
}

/// COCO annotations beside the pictures, as Roboflow and ODinW have them: in the folder itself or one for each split.
fn coco(folder: &Path, split: Option<&str>) -> Result<Option<Files>, DatasetError> {
    let named =
        |folder: &Path| COCO_FILES.iter().map(|name| folder.join(name)).find(|p| p.is_file());
    if let Some(path) = named(folder) {
        return Ok(Some(Files { kind: Kind::Json, paths: vec![path], split: None }));
    }
    let folders = list(folder)?.into_iter().filter(|path| path.is_dir() && !is_hidden(path));
    let paths: Vec<PathBuf> = folders.filter_map(|folder| named(&folder)).collect();
    if paths.is_empty() {
        return Ok(None);
    }
    choose(folder, Kind::Json, paths, split).map(Some)
}

/// Pascal VOC: a folder of annotations, or the root whose `ImageSets/Main` names the pictures of each split.
fn voc(folder: &Path, split: Option<&str>) -> Result<Option<Files>, DatasetError> {
    let (annotations, sets) = (folder.join("Annotations"), folder.join("ImageSets/Main"));
    if !(annotations.is_dir() && sets.is_dir()) {
        let mut paths = Vec::new();
        // Without lists of splits, all of them.
        if annotations.is_dir() {
            collect(&annotations, &[Kind::Voc], 1, &mut paths)?;
        }
        if paths.is_empty() {
            collect(folder, &[Kind::Voc], 1, &mut paths)?;
        }
        let is_there = !paths.is_empty();
        return Ok(is_there.then_some(Files { kind: Kind::Voc, paths, split: None }));
    }
    // `cat_train.txt` says of each picture whether a cat is on it.
    let stems = list(&sets)?.into_iter().filter_map(|path| {
        let is_list = path.extension().is_some_and(|extension| extension == "txt");
        Some(path.file_stem()?.to_str()?.to_owned()).filter(|_| is_list)
    });
    let splits: Vec<String> = stems.filter(|stem| !stem.contains('_')).collect();
    let path = folder.to_owned();
    let Some(split) = split else { return Err(DatasetError::SeveralSplits { path, splits }) };
    let by_name = |name: &str| splits.iter().find(|known| canonical(known) == canonical(name));
    let chosen = splits.iter().find(|known| *known == split).or_else(|| by_name(split));
    let Some(chosen) = chosen else {
        return Err(DatasetError::NoSplit { path, split: split.to_owned(), splits });
    };
    let names = sets.join(format!("{chosen}.txt"));
    let text = read_text(&names)?;
    let stems = text.lines().filter_map(|line| line.split_whitespace().next());
    let paths = stems.map(|stem| annotations.join(format!("{stem}.xml"))).collect();
    Ok(Some(Files { kind: Kind::Voc, paths, split: Some(chosen.clone()) }))
}

/// ReasonSeg: a JSON file beside each picture, in the folder itself or one for each split.
fn reasoning(folder: &Path, split: Option<&str>) -> Result<Option<Files>, DatasetError> {
    let mut paths = Vec::new();
    collect(folder, &[Kind::Json], 2, &mut paths)?;
    match paths.first() {
        Some(first) if crate::readers::is_reasoning(first)? => {
            choose(folder, Kind::Reasoning, paths, split).map(Some)
        }
        _ => Ok(None),
    }
}

/// Comma-separated values, JSON lists of rows or COCO's annotations, beside their pictures or in a folder for annotations.
fn tables_of_text(folder: &Path, split: Option<&str>) -> Result<Option<Files>, DatasetError> {
    let annotations = folder.join("annotations");
    for folder in [folder, &annotations].into_iter().filter(|folder| folder.is_dir()) {
        for kind in [Kind::Csv, Kind::Json] {
            let mut paths = Vec::new();
            collect(folder, &[kind], 1, &mut paths)?;
            if kind == Kind::Json {
                paths = with_rows(paths)?;
            }
            if !paths.is_empty() {
                return choose(folder, kind, paths, split).map(Some);
            }
        }
    }
    Ok(None)
}

/// The table that `datasets` reads beside pictures, in the folder of a split or of its pictures.
fn metadata(folder: &Path, split: Option<&str>) -> Result<Option<Files>, DatasetError> {
    let mut paths = Vec::new();
    let is_named = |path: &Path| path.file_name().is_some_and(|name| name == METADATA);
    collect_if(folder, &is_named, MAX_DEPTH, &mut paths)?;
    // Others may call a table so that is about something else.
    let mut tables = Vec::with_capacity(paths.len());
    for path in paths {
        if crate::readers::names_files(&path)? {
            tables.push(path);
        }
    }
    let is_there = !tables.is_empty();
    is_there.then(|| choose(folder, Kind::Csv, tables, split)).transpose()
}

/// Of JSON files those with rows or boxes: beside COCO's `instances_*.json` lie captions and key points.
fn with_rows(paths: Vec<PathBuf>) -> Result<Vec<PathBuf>, DatasetError> {
    let mut found = Vec::new();
    for path in paths {
        if crate::readers::has_rows(&path)? {
            found.push(path);
        }
    }
    let is_instances = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("instances"))
    };
    if found.iter().any(is_instances) {
        found.retain(is_instances);
    }
    Ok(found)
}

/// A folder for each class with its pictures, in the folder itself or below one for each split.
fn pictures(folder: &Path, split: Option<&str>) -> Result<Option<Files>, DatasetError> {
    let subfolders = |folder: &Path| -> Result<Vec<PathBuf>, DatasetError> {
        let all = list(folder)?.into_iter();
        Ok(all.filter(|path| path.is_dir() && !is_hidden(path)).collect())
    };
    let top = subfolders(folder)?;
    let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let is_split = |path: &PathBuf| keyword(&name(path)) == Some(canonical(&name(path)));
    let are_splits = !top.is_empty() && top.iter().all(is_split);
    let classes = if are_splits {
        let splits = || top.iter().map(name).collect();
        let path = folder.to_owned();
        let Some(split) = split else {
            return Err(DatasetError::SeveralSplits { path, splits: splits() });
        };
        let chosen = top.iter().find(|path| canonical(&name(path)) == canonical(split));
        let Some(chosen) = chosen else {
            return Err(DatasetError::NoSplit { path, split: split.to_owned(), splits: splits() });
        };
        subfolders(chosen)?
    } else {
        top
    };
    let mut paths = Vec::new();
    for class in &classes {
        collect(class, &[Kind::Pictures], 1, &mut paths)?;
    }
    let split = split.filter(|_| are_splits).map(canonical);
    Ok((!paths.is_empty()).then_some(Files { kind: Kind::Pictures, paths, split }))
}
