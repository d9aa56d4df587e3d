//! What the README.md of a data set of the hub says of its files: which of them are which split, and of which of its data sets.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::read_text;
use crate::DatasetError;

/// Key of the files of each split.
const FILES: &str = "data_files:";
/// Key of the list of data sets.
const CONFIGS: &str = "configs:";
/// Key of a data set's name in it.
const CONFIG: &str = "config_name:";
/// Key of a split's name.
const SPLIT: &str = "split:";

/// Checks that a folder of several files, whose names tell no split, has none of them given to different splits: taken
/// together, rows to judge on would be learned from.
///
/// # Errors
/// README.md, in the folder or above it, gives files to more than one split.
pub(super) fn check(folder: &Path) -> Result<(), DatasetError> {
    let of_folder = splits(folder, "");
    let (Some(above), Some(name)) = (folder.parent(), folder.file_name()) else {
        return refuse(folder, &of_folder);
    };
    // The hub has the files of rows in `data`, and README.md above.
    let of_above = splits(above, &format!("{}/", name.to_string_lossy()));
    refuse(folder, if of_folder.is_empty() { &of_above } else { &of_folder })
}

fn refuse(folder: &Path, splits: &BTreeSet<String>) -> Result<(), DatasetError> {
    if splits.len() < 2 {
        return Ok(());
    }
    let names: Vec<&str> = splits.iter().map(String::as_str).collect();
    let names = names.join(", ");
    Err(DatasetError::Content {
        path: folder.to_owned(),
        format: "one data set",
        message: format!(
            "its README.md gives files to the splits {names} (data_files), and the names of the files do not tell which is \
             which: name one file as data.train and the other as evaluation.test, or move those of each split into a \
             folder that is called as the split is"
        ),
    })
}

/// Checks that several files of a folder are of one data set, where its README.md describes more than one: taken together
/// they would be a set that nobody made, often with the same rows twice.
///
/// # Errors
/// README.md describes several, and the files are not in a folder of one.
pub(super) fn check_one_set(folder: &Path, files: &[PathBuf]) -> Result<(), DatasetError> {
    if files.len() < 2 {
        return Ok(());
    }
    let text = read_text(&folder.join("README.md")).unwrap_or_default();
    let configs = front_matter(&text).map(configs_of).unwrap_or_default();
    let is_in = |file: &PathBuf, config: &String| {
        let within = file.strip_prefix(folder).unwrap_or(file);
        within.components().any(|part| part.as_os_str() == config.as_str())
    };
    let is_one = configs.iter().any(|config| files.iter().all(|file| is_in(file, config)));
    if configs.len() < 2 || is_one {
        return Ok(());
    }
    let names: Vec<&str> = configs.iter().map(String::as_str).collect();
    let message = format!(
        "its README.md describes {} data sets (config_name: {}): name the folder or the file of the one that is meant",
        names.len(),
        names.join(", ")
    );
    Err(DatasetError::Content { path: folder.to_owned(), format: "one data set", message })
}

/// The names of the data sets in a front matter.
fn configs_of(front: &str) -> BTreeSet<String> {
    let mut lines = front.lines().skip_while(|line| !line.starts_with(CONFIGS));
    let first = lines.next().unwrap_or_default();
    // The next key of the same level begins with a letter.
    let of_key = lines.take_while(|line| !line.starts_with(char::is_alphabetic));
    let text: Vec<&str> = std::iter::once(first).chain(of_key).filter(|l| !is_comment(l)).collect();
    values(&text.join("\n"), CONFIG)
}

/// The splits that the front matter of a folder's README.md gives files to, where it speaks of the files wanted.
fn splits(folder: &Path, of_files: &str) -> BTreeSet<String> {
    // Many data sets have none, and no row is in one that cannot be read.
    let text = read_text(&folder.join("README.md")).unwrap_or_default();
    let front = front_matter(&text).filter(|front| front.contains(of_files));
    front.map(splits_of).unwrap_or_default()
}

/// What stands between the two lines of hyphens at the start of a text.
fn front_matter(text: &str) -> Option<&str> {
    let rest = text.strip_prefix("---")?.trim_start_matches([' ', '\r']).strip_prefix('\n')?;
    rest.split_once("\n---").map(|(front, _)| front)
}

/// The names behind `split:` in what `data_files:` begins; both ways to write a list have them so.
fn splits_of(front: &str) -> BTreeSet<String> {
    let lines: Vec<&str> = front.lines().filter(|line| !is_comment(line)).collect();
    let text = lines.join("\n");
    text.split_once(FILES).map(|(_, files)| values(files, SPLIT)).unwrap_or_default()
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with('#')
}

/// What stands behind each place of a key.
fn values(text: &str, key: &str) -> BTreeSet<String> {
    let places = text.match_indices(key);
    // `train_split:` is another key.
    let is_key = |place: &usize| {
        !text[..*place].ends_with(|c: char| c.is_alphanumeric() || ['_', '-'].contains(&c))
    };
    let names = places.map(|(place, _)| place).filter(is_key).map(|place| {
        let rest = &text[place + key.len()..];
        let name = rest.split(['\n', ',', '}', '#']).next().unwrap_or_default();
        name.trim().trim_matches(['"', '\'']).to_owned()
    });
    names.filter(|name| !name.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use crate::files::find;
    use crate::testing::Folder;

    const BLOCK: &str = "---\nlicense: mit\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    \
                         path: a.parquet\n  - split: \"test\"\n    path: data/b.parquet\n---\n# Cups\n";
    const INLINE: &str = "---\r\nconfigs: [{data_files: [{split: train, path: a.*}, {split: test, path: b.*}]}]\r\n---\r\n";

    /// Whether a folder with these files and this README.md is read as one.
    fn check(readme: &str, files: &[&str]) -> Result<(), String> {
        let folder = Folder::of(files);
        folder.write("README.md", readme.as_bytes());
        find(&folder.path(""), None).map(drop).map_err(|error| error.to_string())
    }

    #[test]
    fn files_that_readme_gives_to_several_splits_are_not_one_set() {
        let files = ["a.parquet", "b.parquet"];
        for readme in [BLOCK, INLINE] {
            let error = check(readme, &files).unwrap_err();
            for words in ["test, train", "data.train", "evaluation.test"] {
                assert!(error.contains(words), "{error}");
            }
        }
        assert!(check(BLOCK, &["a.jsonl", "b.jsonl"]).is_err());
        // One file, names that tell, one split, features alone, a text about it.
        assert_eq!(check(BLOCK, &files[..1]), Ok(()));
        assert_eq!(check(BLOCK, &["train-a.parquet", "train-b.parquet"]), Ok(()));
        assert_eq!(check(&BLOCK.replace("\"test\"", "train"), &files), Ok(()));
        let features = "---\ndataset_info:\n  splits:\n  - name: train\n  - name: test\n---\n";
        assert_eq!(check(features, &files), Ok(()));
        assert_eq!(check(&BLOCK.replace("---\nlicense", "Front matter: license"), &files), Ok(()));
        assert_eq!(check("# Cups\n", &files), Ok(()));
    }

    #[test]
    fn several_data_sets_are_not_one() {
        let of = |names: [&str; 2]| {
            let of_one = |name| format!("- config_name: {name}\n  data_files: {name}/*\n");
            format!("---\nconfigs:\n{}{}license: mit\n---\n", of_one(names[0]), of_one(names[1]))
        };
        let both = ["easy/train-0.parquet", "hard/train-0.parquet"];
        let error = check(&of(["easy", "hard"]), &both).unwrap_err();
        for words in ["2 data sets", "easy, hard", "the folder or the file"] {
            assert!(error.contains(words), "{error}");
        }
        assert!(check(&of(["a", "b"]), &["train-a.parquet", "train-b.parquet"]).is_err());
        // The files of one, of which the other is not there; a single file; what is said of features.
        assert_eq!(
            check(&of(["easy", "hard"]), &["easy/train-0.parquet", "easy/train-1.parquet"]),
            Ok(())
        );
        assert_eq!(check(&of(["easy", "hard"]), &both[..1]), Ok(()));
        let features = "---\ndataset_info:\n- config_name: easy\n- config_name: hard\n---\n";
        assert_eq!(check(features, &both), Ok(()));
    }

    #[test]
    fn readme_above_counts_where_it_speaks_of_the_folder() {
        let folder = Folder::of(&["data/a.parquet", "data/b.parquet"]);
        folder.write("README.md", BLOCK.as_bytes());
        assert!(find(&folder.path("data"), None).is_err());
        assert!(find(&folder.path(""), None).is_err());
        let other = Folder::of(&["rows/a.parquet", "rows/b.parquet"]);
        other.write("README.md", BLOCK.as_bytes());
        assert!(find(&other.path("rows"), None).is_ok());
    }
}
