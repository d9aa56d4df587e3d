//! Which files a data set is made of, and which split of several.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::DatasetError;
use crate::readers::{INFO, open_file, splits_of};
use shards::Shard;

mod foreign;
mod published;
mod readme;
pub(crate) mod shards;

/// How deep a folder is searched for files of rows: the hub has them in `data/` or in `data/train/`.
const MAX_DEPTH: usize = 3;

/// What names a split in the name of a file or a folder, as `datasets` has it.
const SPLITS: [(&str, &[&str]); 3] = [
    ("train", &["train", "training"]),
    ("validation", &["validation", "valid", "dev", "val"]),
    ("test", &["test", "testing", "eval", "evaluation"]),
];

/// The files of a data set, all of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Files {
    pub(crate) kind: Kind,
    pub(crate) paths: Vec<PathBuf>,
    /// Name of the split that they are, if they say so.
    pub(crate) split: Option<String>,
}

/// How the rows of a file are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Parquet,
    Arrow,
    /// One object a line.
    Lines,
    /// A list of rows, COCO annotations, or one of the published lists of splits and references.
    Json,
    /// Pictures without their endings and their classes.
    List,
    /// Comma-separated values.
    Csv,
    /// Labels of Oxford Flowers or Stanford Cars.
    Mat,
    /// Pascal VOC.
    Voc,
    /// Pictures in a folder for each class.
    Pictures,
    /// ReasonSeg: a file beside each picture.
    Reasoning,
    /// A folder of LeRobot, which is read as a whole.
    Robot,
}

impl Kind {
    fn of(path: &Path) -> Option<Self> {
        let extension = path.extension().unwrap_or_default().to_string_lossy();
        match extension.to_ascii_lowercase().as_str() {
            "parquet" => Some(Kind::Parquet),
            "arrow" | "feather" => Some(Kind::Arrow),
            "jsonl" | "ndjson" => Some(Kind::Lines),
            "json" => Some(Kind::Json),
            "xml" => Some(Kind::Voc),
            "txt" => Some(Kind::List),
            "csv" => Some(Kind::Csv),
            "mat" => Some(Kind::Mat),
            _ if vrft_vision::endings::is_picture(path) => Some(Kind::Pictures),
            _ => None,
        }
    }
}

/// The file itself, or the files of a folder that belong to the split.
///
/// # Errors
/// What is not there or of no known kind; several splits without a choice; a split or a shard that is not there.
pub(crate) fn find(path: &Path, split: Option<&str>) -> Result<Files, DatasetError> {
    let files = found(path, split)?;
    if path.is_dir() {
        shards::check(&files.paths)?;
    }
    match split {
        // Recordings of a robot have one split, without a name.
        Some(split) if files.split.is_none() && files.kind != Kind::Robot => {
            let splits = vec![described(None, files.paths.len())];
            Err(DatasetError::NoSplit { path: path.to_owned(), split: split.to_owned(), splits })
        }
        _ => Ok(files),
    }
}

fn found(path: &Path, split: Option<&str>) -> Result<Files, DatasetError> {
    if path.is_dir() {
        return in_folder(path, split);
    }
    if !path.exists() {
        let source = std::io::ErrorKind::NotFound.into();
        return Err(DatasetError::Read { path: path.to_owned(), source });
    }
    if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("tsv")) {
        return Err(DatasetError::Content {
            path: path.to_owned(),
            format: "a table",
            message: "its fields are set off by tabs: save it with commas between them, as .csv"
                .to_owned(),
        });
    }
    let is_of_rows = |kind: &Kind| !matches!(kind, Kind::Voc | Kind::Pictures);
    let kind = Kind::of(path).filter(is_of_rows);
    let kind = kind.ok_or_else(|| DatasetError::Format { path: path.to_owned() })?;
    if has_all_splits(path, kind)? {
        let split = split.map(canonical);
        return Ok(Files { kind, paths: vec![path.to_owned()], split });
    }
    let found = split_of(Path::new(path.file_name().unwrap_or_default()));
    if let (Some(wanted), Some(found)) = (split, &found)
        && canonical(wanted) != *found
    {
        let splits = vec![format!("{found} (1 file)")];
        return Err(DatasetError::NoSplit { path: path.to_owned(), split: wanted.into(), splits });
    }
    Ok(Files { kind, paths: vec![path.to_owned()], split: found })
}

fn in_folder(folder: &Path, split: Option<&str>) -> Result<Files, DatasetError> {
    if folder.join("dataset_dict.json").exists() {
        return saved_splits(folder, split);
    }
    if folder.join("state.json").exists() {
        return saved(folder, split);
    }
    if folder.join(INFO).exists() {
        let (kind, paths) = (Kind::Robot, vec![folder.to_owned()]);
        let split = episodes_of(folder, split)?;
        return Ok(Files { kind, paths, split });
    }
    for kinds in [[Kind::Parquet].as_slice(), &[Kind::Arrow], &[Kind::Lines]] {
        let mut paths = Vec::new();
        collect(folder, kinds, MAX_DEPTH, &mut paths)?;
        if !paths.is_empty() {
            return choose(folder, kinds[0], paths, split);
        }
    }
    // Else its folder `images` would be a class.
    if folder.join("images").is_dir() && folder.join("labels").is_dir() {
        return Err(unknown(folder));
    }
    if let Some(files) = published::find(folder, split)? {
        return Ok(files);
    }
    Err(unknown(folder))
}

/// A folder that no reader takes.
fn unknown(folder: &Path) -> DatasetError {
    let path = folder.to_owned();
    match foreign::known(folder) {
        Some(what) => {
            DatasetError::Content { path, format: "a data set", message: format!("it has {what}") }
        }
        None => DatasetError::Format { path },
    }
}

/// The split of a folder of LeRobot, whose splits are ranges of episodes; `None` where it has none.
fn episodes_of(folder: &Path, split: Option<&str>) -> Result<Option<String>, DatasetError> {
    let splits = splits_of(folder)?;
    let path = folder.to_owned();
    let named = splits.iter().map(|(name, range)| format!("{name} (episodes {range:?})"));
    match (split, splits.len()) {
        (Some(split), _) => {
            let names = [split.to_owned(), canonical(split)];
            let found = names.into_iter().find(|name| splits.contains_key(name));
            // Without a word on splits all of it is to learn from.
            let is_all = splits.is_empty() && split == "train";
            if found.is_some() || is_all {
                return Ok(found);
            }
            let splits = if splits.is_empty() { vec!["train".to_owned()] } else { named.collect() };
            Err(DatasetError::NoSplit { path, split: split.into(), splits })
        }
        (None, 0 | 1) => Ok(None),
        (None, _) => Err(DatasetError::SeveralSplits { path, splits: named.collect() }),
    }
}

/// Whether a file has the rows of all splits in it, so that its own reader chooses.
fn has_all_splits(path: &Path, kind: Kind) -> Result<bool, DatasetError> {
    match kind {
        Kind::Mat => Ok(true),
        Kind::Json => crate::readers::has_all_splits(path),
        _ => Ok(false),
    }
}

/// Files of these kinds, sorted; folders below are searched where there is none.
fn collect(
    folder: &Path,
    kinds: &[Kind],
    depth: usize,
    found: &mut Vec<PathBuf>,
) -> Result<(), DatasetError> {
    let is_wanted = |path: &Path| Kind::of(path).is_some_and(|kind| kinds.contains(&kind));
    collect_if(folder, &is_wanted, depth, found)
}

/// The same of files that are wanted.
fn collect_if(
    folder: &Path,
    is_wanted: &dyn Fn(&Path) -> bool,
    depth: usize,
    found: &mut Vec<PathBuf>,
) -> Result<(), DatasetError> {
    let entries = list(folder)?;
    let is_one = |path: &&PathBuf| is_wanted(path) && !is_hidden(path) && path.is_file();
    let before = found.len();
    found.extend(entries.iter().filter(is_one).cloned());
    if found.len() > before || depth <= 1 {
        return Ok(());
    }
    let folders = entries.iter().filter(|path| !is_hidden(path) && path.is_dir());
    folders.into_iter().try_for_each(|folder| collect_if(folder, is_wanted, depth - 1, found))
}

/// All `.parquet` files below a folder, by name.
pub(crate) fn tables(folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), DatasetError> {
    for path in list(folder)? {
        if path.is_dir() {
            tables(&path, found)?;
        } else if Kind::of(&path) == Some(Kind::Parquet) {
            found.push(path);
        }
    }
    Ok(())
}

/// What `datasets` writes beside the data, as `cache-1234.arrow`, and what begins with a full stop.
fn is_hidden(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with('.') || name.starts_with("cache-") && name.ends_with(".arrow")
}

/// The files of one split.
fn choose(
    folder: &Path,
    kind: Kind,
    paths: Vec<PathBuf>,
    split: Option<&str>,
) -> Result<Files, DatasetError> {
    let mut by_split: BTreeMap<Option<String>, Vec<PathBuf>> = BTreeMap::new();
    for path in paths {
        let relative = path.strip_prefix(folder).unwrap_or(&path);
        by_split.entry(split_of(relative)).or_default().push(path);
    }
    if let [(None, files)] = &by_split.iter().collect::<Vec<_>>()[..]
        && files.len() > 1
    {
        readme::check(folder)?;
    }
    let names = || by_split.iter().map(|(name, files)| described(name.as_deref(), files.len()));
    let chosen = match split {
        Some(split) => {
            let by_name = |name: &str| by_split.get_key_value(&Some(name.to_owned()));
            by_name(split).or_else(|| by_name(&canonical(split))).ok_or_else(|| {
                DatasetError::NoSplit {
                    path: folder.to_owned(),
                    split: split.to_owned(),
                    splits: names().collect(),
                }
            })?
        }
        None => match by_split.iter().collect::<Vec<_>>()[..] {
            [one] => one,
            _ => {
                let path = folder.to_owned();
                let splits = names().collect();
                return Err(DatasetError::SeveralSplits { path, splits });
            }
        },
    };
    readme::check_one_set(folder, chosen.1)?;
    Ok(Files { kind, paths: chosen.1.clone(), split: chosen.0.clone() })
}

fn described(split: Option<&str>, n_files: usize) -> String {
    let s = if n_files == 1 { "" } else { "s" };
    format!("{} ({n_files} file{s})", split.unwrap_or("without a name"))
}

/// The split that a file belongs to by its path within the folder: `train-00000-of-00002.parquet`, `val.jsonl`,
/// `test/a.parquet`. Before the number of a shard any name is one of a split.
fn split_of(path: &Path) -> Option<String> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    if let Some(shard) = Shard::of(&stem) {
        return Some(canonical(shard.name));
    }
    let folders = path.parent().into_iter().flat_map(|parent| parent.components());
    let folders = folders.map(|folder| folder.as_os_str().to_string_lossy().into_owned());
    let mut names: Vec<String> = folders.collect();
    names.push(stem);
    names.iter().rev().find_map(|name| keyword(name))
}

/// A split's name standing alone in a name, between what is no letter.
pub(crate) fn keyword(name: &str) -> Option<String> {
    let words = name.split(|c: char| !c.is_alphabetic());
    let known = |word: &str| {
        let found = SPLITS.iter().find(|(_, words)| words.contains(&word));
        found.map(|(split, _)| (*split).to_owned())
    };
    words.map(str::to_ascii_lowercase).find_map(|word| known(&word))
}

/// The usual name of a split.
fn canonical(name: &str) -> String {
    let found = SPLITS.iter().find(|(_, words)| words.contains(&name));
    found.map_or_else(|| name.to_owned(), |(split, _)| (*split).to_owned())
}

/// A folder of `Dataset.save_to_disk`: its state says which files, in which order.
fn saved(folder: &Path, wanted: Option<&str>) -> Result<Files, DatasetError> {
    let path = folder.join("state.json");
    let state = json(&path)?;
    let wrong = |message: &str| DatasetError::Content {
        path: path.clone(),
        format: "the state of a saved data set",
        message: message.to_owned(),
    };
    // Older versions of `datasets` have the second key.
    let is_selected = |key: &str| state[key].as_array().is_some_and(|files| !files.is_empty());
    if ["_indices_files", "_indices_data_files"].iter().any(|key| is_selected(key)) {
        return Err(wrong(
            "it selects rows by an index (select, shuffle), which is not read: save it again after \
             ds = ds.flatten_indices()",
        ));
    }
    let files = state["_data_files"].as_array().ok_or_else(|| wrong("no \"_data_files\""))?;
    let name = |file: &Value| {
        let name = file["filename"].as_str().ok_or_else(|| wrong("a file without \"filename\""))?;
        if name.contains(['/', '\\']) {
            return Err(wrong("a file of another folder"));
        }
        Ok(folder.join(name))
    };
    let paths: Vec<PathBuf> = files.iter().map(name).collect::<Result<_, _>>()?;
    let split = state["_split"].as_str().map(ToOwned::to_owned);
    match wanted {
        Some(wanted) if split.as_deref().is_some_and(|split| split != wanted) => {
            Err(DatasetError::NoSplit {
                path: folder.to_owned(),
                split: wanted.to_owned(),
                splits: vec![described(split.as_deref(), paths.len())],
            })
        }
        _ => Ok(Files { kind: Kind::Arrow, paths, split }),
    }
}

/// A folder of `DatasetDict.save_to_disk`: a folder for each split.
fn saved_splits(folder: &Path, wanted: Option<&str>) -> Result<Files, DatasetError> {
    let path = folder.join("dataset_dict.json");
    let splits = json(&path)?;
    let splits = splits["splits"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let splits: Vec<String> = splits.map(ToOwned::to_owned).collect();
    let chosen = match (wanted, &splits[..]) {
        (Some(wanted), _) => {
            splits.iter().find(|split| *split == wanted).ok_or_else(|| DatasetError::NoSplit {
                path: folder.to_owned(),
                split: wanted.to_owned(),
                splits: splits.clone(),
            })?
        }
        (None, [one]) => one,
        (None, _) => {
            return Err(DatasetError::SeveralSplits { path: folder.to_owned(), splits });
        }
    };
    Ok(Files { split: Some(chosen.clone()), ..saved(&folder.join(chosen), None)? })
}

/// The whole text of a file, without a byte order mark.
///
/// # Errors
/// A file that cannot be read, or is not UTF-8.
pub(crate) fn read_text(path: &Path) -> Result<String, DatasetError> {
    let mut bytes = Vec::new();
    open_file(path)?
        .read_to_end(&mut bytes)
        .map_err(|source| DatasetError::Read { path: path.to_owned(), source })?;
    let encoding = if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        "utf-16"
    } else {
        "latin1"
    };
    let text = String::from_utf8(bytes).map_err(|error| DatasetError::Content {
        path: path.to_owned(),
        format: "text",
        message: format!(
            "byte {} is none of UTF-8: if it is written in {encoding}, `iconv -f {encoding} -t utf-8` converts it",
            error.utf8_error().valid_up_to()
        ),
    })?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

pub(crate) fn json(path: &Path) -> Result<Value, DatasetError> {
    let text = read_text(path)?;
    serde_json::from_str(&text).map_err(|error| DatasetError::Content {
        path: path.to_owned(),
        format: "JSON",
        message: error.to_string(),
    })
}

fn list(folder: &Path) -> Result<Vec<PathBuf>, DatasetError> {
    let failed = |source| DatasetError::Read { path: folder.to_owned(), source };
    let entries = fs::read_dir(folder).map_err(failed)?;
    let mut paths = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(failed)?;
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests;
