//! What can be wrong with a data set.

use std::path::PathBuf;

use crate::Skipped;

/// Data that cannot be learned from, with the file and the remedy in the message.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// The file or folder is absent or unreadable.
    #[error("cannot read the data set {path:?}: {source}")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A pipe, a device or a folder where a file should be.
    #[error("{path:?} is not a regular file")]
    NotAFile {
        /// What was named.
        path: PathBuf,
    },
    /// A folder with files of several splits, and none chosen.
    #[error(
        "{path:?} has several splits, set data.split (of test data evaluation.split) to one of these or name one file: {}",
        splits.join(", ")
    )]
    SeveralSplits {
        /// The folder.
        path: PathBuf,
        /// The splits with their numbers of files.
        splits: Vec<String>,
    },
    /// The split that was chosen is not there.
    #[error("{path:?} has no split {split:?}, it has: {}", splits.join(", "))]
    NoSplit {
        /// The folder or file.
        path: PathBuf,
        /// The split that was asked for.
        split: String,
        /// The splits with their numbers of files.
        splits: Vec<String>,
    },
    /// The name says nothing that is known.
    #[error(
        "{path:?}: expected a file that ends in .parquet, .arrow, .feather, .jsonl, .csv, .json (rows, COCO, LVIS, \
         RefCOCO, splits), .txt (FGVC Aircraft, Oxford Pets) or .mat (Oxford Flowers, Stanford Cars), a folder of .parquet, .arrow, \
         .jsonl or .xml (VOC) files, of pictures in a folder for each class, of ReasonSeg, of Roboflow or of LeRobot \
         (meta/info.json), or what save_to_disk of `datasets` wrote; what is packed (.gz, .zip, .tar) has to be unpacked"
    )]
    Format {
        /// The file or folder.
        path: PathBuf,
    },
    /// The content is not what the name says.
    #[error("{path:?} cannot be read as {format}: {message}")]
    Content {
        /// The file.
        path: PathBuf,
        /// What it should be.
        format: &'static str,
        /// The reader's own words.
        message: String,
    },
    /// No such column, or key.
    #[error("{path:?} has no {column:?} ({expected}), it has: {}; the column that holds it has to be called so", found.join(", "))]
    MissingColumn {
        /// The file.
        path: PathBuf,
        /// The column that was looked for.
        column: &'static str,
        /// What it would hold.
        expected: &'static str,
        /// The columns that are there.
        found: Vec<String>,
    },
    /// A column of a type that makes no sense.
    #[error("{column:?} of {path:?} should be {expected}, got {got}")]
    ColumnType {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// What it should hold.
        expected: &'static str,
        /// The Arrow type that it has.
        got: String,
    },
    /// A category or class is to be asked for that no annotation has.
    #[error(
        "{path:?} has no category {name:?} (data.categories, evaluation.categories), it has {n_found}, as: {}",
        found.join(", ")
    )]
    UnknownCategory {
        /// The file or folder.
        path: PathBuf,
        /// The name that was asked for.
        name: String,
        /// Some of the names that are there.
        found: Vec<String>,
        /// Number of names that are there.
        n_found: usize,
    },
    /// A list of rows names one that is not there.
    #[error("{path:?} has no usable row {name:?}, which is named in the list of rows {list:?}")]
    UnknownRow {
        /// The data set.
        path: PathBuf,
        /// The file that names rows.
        list: PathBuf,
        /// The name.
        name: String,
    },
    /// A class with fewer rows than shots.
    #[error(
        "{path:?} has {got} usable rows of class {class:?}, {expected} a class were asked for (data.shots_per_class)"
    )]
    TooFewOfClass {
        /// The data set.
        path: PathBuf,
        /// The class.
        class: String,
        /// Rows asked for.
        expected: usize,
        /// Rows there are.
        got: usize,
    },
    /// A row that is of no class where shots are drawn for each.
    #[error(
        "{row} of {path:?} is of no class, so that data.shots_per_class cannot draw; use data.shots"
    )]
    NoClass {
        /// The data set.
        path: PathBuf,
        /// The row.
        row: String,
    },
    /// Rows that contradict each other in what all of them are read by.
    #[error("{path:?}: {why}")]
    Contradictory {
        /// The data set.
        path: PathBuf,
        /// Which rows, and what to declare.
        why: String,
    },
    /// Not one usable row.
    #[error("{path:?} has no usable row{}", first(bad))]
    Empty {
        /// The file.
        path: PathBuf,
        /// The rows that were left out.
        bad: Vec<Skipped>,
    },
    /// Not one picture that can be opened.
    #[error(
        "none of the pictures of {path:?} can be read ({n}){}; where they lie elsewhere, data.image_root (of `vrft new`, \
         --image-root) names the folder that their names start at",
        first(bad)
    )]
    NoPictures {
        /// The file.
        path: PathBuf,
        /// Number of pictures that the rows name.
        n: usize,
        /// A row for each of the first of them, and what came of it.
        bad: Vec<Skipped>,
    },
    /// More rows had to be left out than is tolerated.
    #[error(
        "{n_bad} of {total} rows of {path:?} cannot be used, at most {} are tolerated (data.max_bad_fraction = {max_bad_fraction}){}",
        (*total as f64 * max_bad_fraction) as usize, first(bad)
    )]
    TooManyBad {
        /// The file.
        path: PathBuf,
        /// How many rows were left out, of a divided file on both sides.
        n_bad: usize,
        /// Those of this side.
        bad: Vec<Skipped>,
        /// Rows in the file.
        total: usize,
        /// The tolerated share.
        max_bad_fraction: f64,
    },
    /// Fewer rows than shots.
    #[error("{path:?} has {got} usable rows, {expected} shots were asked for")]
    TooFewRows {
        /// The file.
        path: PathBuf,
        /// Shots asked for.
        expected: usize,
        /// Usable rows.
        got: usize,
    },
}

/// How many bad rows a message names.
const N_NAMED: usize = 5;

fn first(bad: &[Skipped]) -> String {
    let named: Vec<_> = bad.iter().take(N_NAMED).map(Skipped::to_string).collect();
    if named.is_empty() {
        ": it has no rows".to_owned()
    } else {
        format!("; first: {}", named.join("; "))
    }
}
