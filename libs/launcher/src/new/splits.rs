//! Which rows are learned from and which are judged on: by the splits of the data, by a file beside it, or as the user says.

use std::path::{Path, PathBuf};

use eyre::{WrapErr, eyre};
use vrft_dataset::{Dataset, DatasetError, OpenOptions, RobotConfig, Selection};

use super::{NewOptions, absolute};

/// Splits that are learned from where there are several, the better ones first.
const LEARNED: [&str; 2] = ["train", "trainval"];
/// Splits that are judged on, the better ones first. RefCOCO has a test of people and one of other things.
const JUDGED: [&str; 8] =
    ["test", "testing", "testA", "validation", "valid", "val", "dev", "evaluation"];
/// A split that has the rows of others in it.
const OF_BOTH: &str = "trainval";
/// In place of "train" in the name of a file beside it.
const BESIDE: [&str; 5] = ["test", "validation", "valid", "val", "dev"];

/// The data, opened.
pub(super) struct Opened {
    /// The rows to learn from.
    pub(super) dataset: Dataset,
    /// Their split, where there are several.
    pub(super) split: Option<String>,
    /// Other rows to judge on, if there are any.
    pub(super) judged: Option<OpenedToJudge>,
    /// What the user should know.
    pub(super) notes: Vec<String>,
}

/// Rows to judge on.
pub(super) struct OpenedToJudge {
    pub(super) dataset: Dataset,
    /// Their file or folder; `None` for that of the rows to learn from.
    pub(super) file: Option<PathBuf>,
    pub(super) split: Option<String>,
}

/// Opens what the options name.
///
/// # Errors
/// Rows that cannot be read; several splits of which it is open which one is learned from.
pub(super) fn open(options: &NewOptions) -> eyre::Result<Opened> {
    let path = absolute(&options.data)?;
    let mut notes = Vec::new();
    let splits = splits_of(options, &path)?;
    let split = match &options.split {
        Some(split) => Some(split.clone()),
        None if splits.is_empty() => None,
        None => {
            let known = LEARNED.iter().find(|name| splits.iter().any(|split| split == **name));
            let known = known.ok_or_else(|| {
                eyre!("{path:?} has the splits {}: choose one by --split", splits.join(", "))
            })?;
            Some((*known).to_owned())
        }
    };
    let dataset = open_one(options, &path, split.as_deref())?;
    let judged = match (&options.test, &split) {
        (Some(test), _) => Some(named(options, test).wrap_err("--test")?),
        (None, Some(learned)) if !splits.is_empty() => {
            other_split(options, &path, learned, &splits, &mut notes)
        }
        (None, _) => sibling(options, &path, &mut notes),
    };
    let used = [&split, &judged.as_ref().and_then(|judged| judged.split.clone())];
    let unused = splits.iter().filter(|name| !used.iter().any(|used| used.as_ref() == Some(*name)));
    let unused: Vec<&str> = unused.map(String::as_str).collect();
    if !unused.is_empty() && options.test.is_none() {
        notes.push(format!("splits that are not used: {}", unused.join(", ")));
    }
    Ok(Opened { dataset, split, judged, notes })
}

/// Names of the splits of a folder or file that has several; else none.
fn splits_of(options: &NewOptions, path: &Path) -> eyre::Result<Vec<String>> {
    match open_one(options, path, None) {
        Err(DatasetError::SeveralSplits { splits, .. }) => {
            // As in `train (2 files)`.
            let name = |split: &String| {
                split.split_once(" (").map_or(split.as_str(), |(name, _)| name).to_owned()
            };
            Ok(splits.iter().map(name).collect())
        }
        // What was chosen may be read where the whole may not.
        Err(error) if options.split.is_none() => Err(error.into()),
        _ => Ok(Vec::new()),
    }
}

/// Opens rows as a run with the new configuration will.
fn open_one(
    options: &NewOptions,
    path: &Path,
    split: Option<&str>,
) -> Result<Dataset, DatasetError> {
    let split = split.map(str::to_owned);
    let image_root = options.image_root.clone();
    let truth = options.truth.clone().unwrap_or_default();
    let robot = RobotConfig { truth, ..RobotConfig::default() };
    let selection = Selection { classes: options.classes.clone(), ..Selection::default() };
    let options = OpenOptions { split, image_root, robot, selection, ..OpenOptions::default() };
    Dataset::open_with(path, &options)
}

/// The rows of `--test`; of several splits the best one to judge on.
fn named(options: &NewOptions, test: &Path) -> eyre::Result<OpenedToJudge> {
    let file = Some(test.to_owned());
    let splits = match open_one(options, test, None) {
        Ok(dataset) => return Ok(OpenedToJudge { dataset, file, split: None }),
        Err(DatasetError::SeveralSplits { .. }) => splits_of(options, test)?,
        Err(error) => return Err(error.into()),
    };
    let split = JUDGED.iter().find(|name| splits.iter().any(|split| split == **name));
    let split = split.ok_or_else(|| {
        eyre!("{test:?} has the splits {}: name a file, or a folder with one", splits.join(", "))
    })?;
    let dataset = open_one(options, test, Some(split))?;
    Ok(OpenedToJudge { dataset, file, split: Some((*split).to_owned()) })
}

/// Another split of the same data that has rows.
fn other_split(
    options: &NewOptions,
    path: &Path,
    learned: &str,
    splits: &[String],
    notes: &mut Vec<String>,
) -> Option<OpenedToJudge> {
    let is_apart = |name: &str| name != learned && (learned != OF_BOTH || name.starts_with("test"));
    let known = JUDGED.iter().filter(|name| splits.iter().any(|split| split == **name));
    for split in known.filter(|name| is_apart(name)) {
        match open_one(options, path, Some(split)) {
            Ok(dataset) => {
                return Some(OpenedToJudge {
                    dataset,
                    file: None,
                    split: Some((*split).to_owned()),
                });
            }
            Err(error) => notes.push(format!("the split {split} is not judged on: {error}")),
        }
    }
    None
}

/// The file to judge on that lies beside a file to learn from, and has rows: `test.jsonl` beside `train.jsonl`,
/// `instances_val2017.json` beside `instances_train2017.json`.
fn sibling(options: &NewOptions, data: &Path, notes: &mut Vec<String>) -> Option<OpenedToJudge> {
    let name = data.file_name()?.to_str()?;
    let candidates = BESIDE.iter().map(|other| data.with_file_name(name.replace("train", other)));
    for other in candidates.filter(|other| other != data && other.is_file()) {
        match open_one(options, &other, None) {
            Ok(dataset) => {
                return Some(OpenedToJudge { dataset, file: Some(other), split: None });
            }
            Err(error) => notes.push(format!("{} is not judged on: {error}", other.display())),
        }
    }
    None
}
