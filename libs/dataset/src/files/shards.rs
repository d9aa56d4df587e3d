//! Files that are parts of one: `train-00000-of-00002.parquet`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::DatasetError;

/// Digits of the number of a shard.
const N_DIGITS: usize = 5;

/// Shards that are named where several are missing.
const N_NAMED: usize = 3;

/// What the name of a shard says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shard<'a> {
    /// What stands before the numbers: mostly the split.
    pub(crate) name: &'a str,
    number: usize,
    total: usize,
    /// What stands behind them: older files of the hub have a hash there.
    after: &'a str,
}

impl<'a> Shard<'a> {
    /// Of a file's name without its ending; `None` if it is no shard.
    pub(crate) fn of(stem: &'a str) -> Option<Self> {
        let (before, behind) = stem.rsplit_once("-of-")?;
        let (name, number) = before.rsplit_once('-')?;
        let (total, after) = behind.split_at_checked(N_DIGITS)?;
        let number_of = |text: &str| -> Option<usize> {
            let is_number = text.len() == N_DIGITS && text.bytes().all(|b| b.is_ascii_digit());
            text.parse().ok().filter(|_| is_number)
        };
        let is_end = after.is_empty() || after.starts_with('-');
        let (number, total) = (number_of(number)?, number_of(total)?);
        (is_end && !name.is_empty()).then_some(Self { name, number, total, after })
    }
}

/// Checks that of files that are parts of one no part is missing.
///
/// # Errors
/// The first parts that are.
pub(crate) fn check(paths: &[PathBuf]) -> Result<(), DatasetError> {
    let mut sets: BTreeMap<(&Path, &str, usize), BTreeSet<usize>> = BTreeMap::new();
    let mut example: BTreeMap<(&Path, &str, usize), &Path> = BTreeMap::new();
    for path in paths {
        let folder = path.parent().unwrap_or(Path::new(""));
        let Some(shard) = path.file_stem().and_then(|stem| Shard::of(stem.to_str()?)) else {
            continue;
        };
        let key = (folder, shard.name, shard.total);
        sets.entry(key).or_default().insert(shard.number);
        example.insert(key, path);
    }
    for (key, numbers) in sets {
        let (folder, name, total) = key;
        let missing: Vec<usize> = (0..total).filter(|number| !numbers.contains(number)).collect();
        if missing.is_empty() {
            continue;
        }
        let ending = example[&key].extension().unwrap_or_default().to_string_lossy();
        let named = missing.iter().take(N_NAMED);
        let named: Vec<String> =
            named.map(|n| format!("{name}-{n:05}-of-{total:05}.{ending}")).collect();
        let is_there =
            |n: &usize| folder.join(format!("{name}-{n:05}-of-{total:05}.{ending}")).is_file();
        let message = if missing.iter().all(is_there) {
            format!(
                "state.json does not list {} of its {total} files, which are there: {}; save the data set again, or add them \
                 to \"_data_files\"",
                missing.len(),
                named.join(", ")
            )
        } else {
            format!(
                "{} of its {total} files are missing: {}{}; fetch them, or name one of the others by itself",
                missing.len(),
                named.join(", "),
                if missing.len() > N_NAMED { ", ..." } else { "" }
            )
        };
        return Err(DatasetError::Content {
            path: folder.to_owned(),
            format: "a whole data set",
            message,
        });
    }
    Ok(())
}

/// What the user should know of one file that is a part of several; `None` if it is whole.
pub(crate) fn note(path: &Path) -> Option<String> {
    let shard = Shard::of(path.file_stem()?.to_str()?).filter(|shard| shard.total > 1)?;
    path.is_file().then(|| {
        let n = shard.total;
        format!("this is one of {n} files of the data set: the folder stands for all of them")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_is_known_by_its_numbers() {
        let shard = Shard::of("train-00001-of-00002-1c6b7a").unwrap();
        assert_eq!(
            (shard.name, shard.number, shard.total, shard.after),
            ("train", 1, 2, "-1c6b7a")
        );
        for stem in ["train", "a-of-b", "x-1-of-2", "-00000-of-00001", "x-00000-of-000012"] {
            assert_eq!(Shard::of(stem), None, "{stem}");
        }
    }

    #[test]
    fn a_missing_shard_is_named() {
        let paths =
            |names: &[&str]| names.iter().map(|n| Path::new("data").join(n)).collect::<Vec<_>>();
        let whole =
            ["train-00000-of-00002.parquet", "train-00001-of-00002.parquet", "other.parquet"];
        check(&paths(&whole)).unwrap();
        let error = check(&paths(&whole[..1])).unwrap_err().to_string();
        assert!(
            error.contains("1 of its 2 files are missing: train-00001-of-00002.parquet"),
            "{error}"
        );
    }

    #[test]
    fn a_shard_that_is_there_and_not_listed_is_not_called_missing() {
        let folder =
            crate::testing::Folder::of(&["d-00000-of-00002.arrow", "d-00001-of-00002.arrow"]);
        let error = check(&[folder.path("d-00000-of-00002.arrow")]).unwrap_err().to_string();
        for words in
            ["state.json does not list 1 of its 2 files", "which are there: d-00001-of-00002"]
        {
            assert!(error.contains(words), "{error}");
        }
    }
}
