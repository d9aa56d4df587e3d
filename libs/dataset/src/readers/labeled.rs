//! Rows of pictures with a class each: folders of classes, lists, tables of comma-separated values, published splits.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use vrft_vision::endings;

use super::classes::{self, Classes, NoClass};
use super::fields::{Draft, DraftTruth, Found};
use super::mat::MatFile;
use super::spellings::Spellings;
use super::{cars, content, csv, json, json_place, json_text};
use crate::path::Locator;
use crate::{DatasetError, OpenOptions, Origin, Question, Skipped};

/// Where pictures of such data sets are, seen from the file or its parent: FGVC Aircraft, Oxford Pets, Oxford Flowers.
const FOLDERS: [&str; 3] = ["images", "jpg", ""];

/// A picture and what its class is called in the data.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Labeled {
    /// Number of its row in the file, or of its picture.
    pub(crate) row: usize,
    /// Name of its file.
    pub(crate) picture: String,
    /// The class by the data's name, number or key for it.
    pub(crate) class: String,
}

/// A folder for each class, with its pictures in it.
pub(crate) fn read_folders(
    pictures: &[PathBuf],
    options: &OpenOptions,
    found: &mut Found,
) -> Result<(), DatasetError> {
    let Some(root) = pictures.first().and_then(|path| path.parent()?.parent()) else {
        return Ok(());
    };
    let classes = Classes::read(options.selection.classes.as_deref())?;
    let labeled = pictures.iter().enumerate().filter_map(|(row, path)| {
        let folder = path.parent()?.file_name()?.to_string_lossy().into_owned();
        // A list of classes chooses among the folders.
        classes.name(&folder)?;
        let picture = path.strip_prefix(root).ok()?.display().to_string();
        Some(Labeled { row, picture, class: folder })
    });
    let labeled: Vec<Labeled> = labeled.collect();
    if !labeled.is_empty() && labeled.iter().all(|one| is_of_tool(&one.class)) {
        let names: BTreeSet<&str> = labeled.iter().map(|one| one.class.as_str()).collect();
        let names = names.into_iter().collect::<Vec<_>>().join(", ");
        let why = format!(
            "a folder for each class is expected, and its folders ({names}) are called as tools call those of pictures and of what is \
             said about them: export COCO annotations, as of YOLO's labels"
        );
        return Err(content(root, "pictures in a folder for each class", why));
    }
    found.pictures.locate_with(Locator::new(&root.join("class"), None, options.allow_outside));
    push_all(root, &labeled, &classes, options, found)
}

/// Whether a folder is called as tools of annotation call those that no class is in.
fn is_of_tool(folder: &str) -> bool {
    const NAMES: [&str; 14] = [
        "image",
        "images",
        "img",
        "imgs",
        "jpegimages",
        "pictures",
        "mask",
        "masks",
        "labels",
        "annotations",
        "segmentationclass",
        "segmentationobject",
        "obj_train_data",
        "ann",
    ];
    NAMES.iter().any(|name| name.eq_ignore_ascii_case(folder))
}

/// A list of pictures without their endings and classes, a line each: `1025794 707-320` (FGVC Aircraft) or
/// `Abyssinian_100 1 1 1` (Oxford Pets, whose class is in the picture's name).
pub(crate) fn read_list(
    path: &Path,
    options: &OpenOptions,
    found: &mut Found,
) -> Result<(), DatasetError> {
    let text = crate::files::read_text(path)?;
    if text.trim_start().starts_with(['{', '[']) {
        let why = "it looks like JSON: rename it to .jsonl (one object a line) or .json";
        return Err(content(path, "a list of pictures", why));
    }
    let lines =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let parted: Option<Vec<(&str, &str)>> =
        lines.map(|line| line.split_once(char::is_whitespace)).collect();
    let parted = parted.filter(|lines| !lines.is_empty()).ok_or_else(|| {
        content(path, "a list of pictures", "expected a picture and its class in each line")
    })?;
    let are_pets = parted.iter().all(|(picture, rest)| {
        let numbers: Vec<&str> = rest.split_whitespace().collect();
        breed(picture).is_some()
            && numbers.len() == 3
            && numbers.iter().all(|number| number.parse::<u32>().is_ok())
    });
    let labeled = parted.into_iter().enumerate().map(|(row, (picture, rest))| Labeled {
        row,
        picture: picture.to_owned(),
        class: if are_pets { breed(picture).unwrap_or(rest) } else { rest.trim() }.to_owned(),
    });
    let labeled: Vec<Labeled> = labeled.collect();
    finish(path, labeled, options, found)
}

/// The class in the name of a picture: what stands before its number.
fn breed(picture: &str) -> Option<&str> {
    let (breed, number) = picture.rsplit_once('_')?;
    number.parse::<u32>().ok().map(|_| breed)
}

/// Comma-separated values with a header: columns for the picture and for its class.
pub(crate) fn read_csv(
    path: &Path,
    options: &OpenOptions,
    found: &mut Found,
) -> Result<(), DatasetError> {
    let table = csv::Table::read(path)?;
    table.check_columns()?;
    if let Some(rows) = table.rows() {
        found.ask(&options.selection)?;
        let root = options.image_root.as_deref();
        found.pictures.locate_with(Locator::new(path, root, options.allow_outside));
        return json::push_all(path, rows, found);
    }
    table.note_splits(&mut found.splits);
    let (labeled, bad) = table.labeled()?;
    found.notes.extend(table.notes());
    found.rows.extend(bad.into_iter().map(Err));
    if labeled.is_empty() {
        return Ok(());
    }
    finish(path, labeled, options, found)
}

/// A MATLAB file: that of Oxford Flowers or one of Stanford Cars, as its arrays tell.
pub(crate) fn read_mat(
    path: &Path,
    split: Option<&str>,
    options: &OpenOptions,
    found: &mut Found,
) -> Result<(), DatasetError> {
    let file = MatFile::read(path)?;
    if file.get("annotations").is_none() {
        return finish(path, flowers(path, &file, split)?, options, found);
    }
    let (labeled, folder) = cars::read(path, &file, split, options)?;
    let folders = folder.map_or(FOLDERS.to_vec(), |folder| vec![folder]);
    finish_in(&folders, path, labeled, options, found)
}

/// Oxford Flowers: `imagelabels.mat` has the class of each picture, `setid.mat` beside it the pictures of each split.
fn flowers(path: &Path, file: &MatFile, split: Option<&str>) -> Result<Vec<Labeled>, DatasetError> {
    let labels = file.numbers("labels")?;
    let variable = match split {
        Some("train") => "trnid",
        Some("validation") => "valid",
        Some("test") => "tstid",
        _ => {
            let splits = ["train", "validation", "test"].map(str::to_owned).into();
            return Err(DatasetError::SeveralSplits { path: path.to_owned(), splits });
        }
    };
    let sets = path.with_file_name("setid.mat");
    let sets = MatFile::read(&sets)?;
    let labeled = sets.numbers(variable)?.iter().enumerate().map(|(row, number)| {
        let idx = (*number as usize).checked_sub(1);
        let class = idx.and_then(|idx| labels.get(idx)).ok_or_else(|| {
            let message = format!("{variable} names picture {number} of {}", labels.len());
            content(path, "labels of pictures", message)
        })?;
        let picture = format!("image_{:05}", *number as usize);
        Ok(Labeled { row, picture, class: format!("{class}") })
    });
    labeled.collect()
}

/// Whether a `.json` file holds splits of labeled pictures: `{"train": [["a.jpg", 0, "rose"], …], …}`.
pub(crate) fn is_splits(start: &str) -> bool {
    let start: String = start.chars().filter(|c| !c.is_whitespace()).take(20).collect();
    ["train", "val", "test"].iter().any(|key| start.starts_with(&format!("{{\"{key}\":[[")))
}

/// The splits that papers on few labels share (`split_zhou_OxfordFlowers.json` and its kin).
pub(crate) fn read_splits(
    path: &Path,
    split: Option<&str>,
    options: &OpenOptions,
    found: &mut Found,
) -> Result<(), DatasetError> {
    let wrong = |message: String| content(path, "splits of labeled pictures", message);
    let value: Value = serde_json::from_reader(json_text::open(path)?)
        .map_err(|error| wrong(json_place::told(path, &error, false)))?;
    let key = match split {
        Some("validation") => "val",
        Some(split) => split,
        None => {
            let splits = value.as_object().into_iter().flatten().map(|(key, _)| key.clone());
            let splits = splits.collect();
            return Err(DatasetError::SeveralSplits { path: path.to_owned(), splits });
        }
    };
    let rows = value[key].as_array().ok_or_else(|| wrong(format!("no list {key:?}")))?;
    let labeled = rows.iter().enumerate().map(|(row, entry)| {
        let (picture, name) = (entry[0].as_str(), entry[2].as_str());
        let (picture, class) = picture.zip(name).ok_or_else(|| {
            wrong(format!("{key:?} {row}: expected [file, number, name], got {entry}"))
        })?;
        Ok(Labeled { row, picture: picture.to_owned(), class: class.to_owned() })
    });
    let labeled: Vec<Labeled> = labeled.collect::<Result<_, DatasetError>>()?;
    finish(path, labeled, options, found)
}

/// Finds where the pictures lie, and adds the rows.
fn finish(
    path: &Path,
    labeled: Vec<Labeled>,
    options: &OpenOptions,
    found: &mut Found,
) -> Result<(), DatasetError> {
    finish_in(&FOLDERS, path, labeled, options, found)
}

/// The same, of pictures in these folders, seen from the file or its parent.
fn finish_in(
    folders: &[&str],
    path: &Path,
    mut labeled: Vec<Labeled>,
    options: &OpenOptions,
    found: &mut Found,
) -> Result<(), DatasetError> {
    let settled = classes::settled(labeled.iter().map(|one| one.class.as_str()));
    let mut read = Vec::with_capacity(labeled.len());
    for (one, class) in std::mem::take(&mut labeled).into_iter().zip(settled) {
        let row = one.row;
        match class {
            Ok(class) => read.push(Labeled { class, ..one }),
            Err(NoClass { why, is_meant }) => {
                let skipped = Skipped { place: format!("row {row}"), row, why };
                if is_meant {
                    found.skipped_parts.push(skipped);
                } else {
                    found.rows.push(Err(skipped));
                }
            }
        }
    }
    labeled = read;
    let folder = path.parent().unwrap_or(Path::new(""));
    let bases = match &options.image_root {
        Some(root) => vec![root.clone()],
        None => {
            let near = folder.ancestors().take(3);
            near.flat_map(|near| folders.iter().map(|name| near.join(name))).collect()
        }
    };
    for one in &mut labeled {
        // What is not found keeps the name that it has in the list.
        if let Some(name) = whole_name(&one.picture, &bases) {
            one.picture = name;
        }
    }
    let mut locator = Locator::new(path, options.image_root.as_deref(), options.allow_outside);
    if options.image_root.is_none() {
        locator = locator.beside(folders);
    }
    found.pictures.locate_with(locator);
    let classes = Classes::read(options.selection.classes.as_deref())?;
    push_all(path, &labeled, &classes, options, found)
}

/// The name of a picture with the ending that its file has.
fn whole_name(picture: &str, bases: &[PathBuf]) -> Option<String> {
    let names = || std::iter::once(picture.to_owned()).chain(endings::names(picture));
    bases.iter().find_map(|base| names().find(|name| base.join(name).is_file()))
}

fn push_all(
    path: &Path,
    labeled: &[Labeled],
    classes: &Classes,
    options: &OpenOptions,
    found: &mut Found,
) -> Result<(), DatasetError> {
    let keys = labeled.iter().map(|one| one.class.as_str());
    let names = classes.names_of(keys).map_err(|why| content(path, "labeled pictures", why))?;
    let mut spellings = Spellings::default();
    let spelled: Vec<Arc<str>> =
        labeled.iter().map(|one| spellings.of(&names[&one.class])).collect();
    found.notes.extend(spellings.note());
    let known: BTreeSet<Arc<str>> = spelled.iter().cloned().collect();
    options.selection.among(path, &known)?;
    let file: Arc<Path> = path.into();
    for (one, name) in labeled.iter().zip(spelled) {
        if !options.selection.has(&name) {
            continue;
        }
        let row = one.row;
        let sample_id = one.picture.replace(['/', '\\'], "-");
        let draft = Draft {
            origin: Origin { file: file.clone(), row, sample_id: sample_id.into() },
            question: Question::Class,
            pictures: vec![found.pictures.add_name(&one.picture)],
            truth: DraftTruth::Text(name),
        };
        found.rows.push(Ok(draft));
    }
    Ok(())
}
