//! What a checkpoint holds, whatever it is called: a folder of the same name may hold other weights than before.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use vrft_checkpoint::Adapter;

use crate::AnswerError;

/// Digits of a digest that are told: two checkpoints share them by chance once in 2⁶⁴.
const N_DIGITS: usize = 16;

/// What lies beside a promoted policy and tells about it.
const BESIDE: &str = "report.html";

/// What the system says of a file: its name, where it leads to, its size, when it was written.
type Entry = (PathBuf, u64, u64, Option<SystemTime>);

/// How the files of a folder look from outside, which costs no reading: as long as that stays, they hold the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Look(Vec<Entry>);

impl Look {
    /// Looks at a checkpoint.
    ///
    /// # Errors
    /// A folder that is not there.
    pub(crate) fn of(checkpoint: &Path) -> Result<Self, AnswerError> {
        let files = files(checkpoint)?.into_iter().map(|path| {
            let known = std::fs::metadata(&path).map_err(failed(&path))?;
            let (place, len, written) = (place(&known), known.len(), known.modified().ok());
            Ok((path, place, len, written))
        });
        Ok(Self(files.collect::<Result<_, AnswerError>>()?))
    }
}

/// What tells a checkpoint from every other: a sum of all its files, and of those of the base that an adapter stands
/// beside, in hexadecimal. `base` stands for the base that the adapter names.
///
/// # Errors
/// A file that cannot be read.
pub(crate) fn digest(checkpoint: &Path, base: Option<&Path>) -> Result<String, AnswerError> {
    let mut folders = vec![checkpoint.to_owned()];
    let adapter = Adapter::read_beside(checkpoint, base)?;
    folders.extend(adapter.map(|adapter| adapter.base().to_owned()));
    let mut lines = String::new();
    for folder in folders {
        for path in files(&folder)? {
            let sum = vrft_weights::sum_of_file(&path).map_err(failed(&path))?;
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            lines += &format!("{name} {sum}\n");
        }
        lines.push('\n');
    }
    Ok(vrft_weights::sum_of(lines.as_bytes())[..N_DIGITS].to_owned())
}

/// The files of a folder by name, but those that only tell about it.
fn files(folder: &Path) -> Result<Vec<PathBuf>, AnswerError> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed(folder))? {
        let path = entry.map_err(failed(folder))?.path();
        if path.is_file() && path.file_name().is_some_and(|name| name != BESIDE) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Which file of the disk it is: another one after a file was replaced, whatever its time says.
#[cfg(unix)]
fn place(known: &std::fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(known)
}

#[cfg(not(unix))]
fn place(_known: &std::fs::Metadata) -> u64 {
    0
}

fn failed(path: &Path) -> impl Fn(std::io::Error) -> AnswerError {
    move |source| AnswerError::File { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_folder_holds_tells_it_from_others_and_not_its_name() {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let write = |n: usize, name: &str, text: &str| {
            std::fs::write(folders[n].path().join(name), text).unwrap();
        };
        let digests = || [0, 1].map(|n| digest(folders[n].path(), None).unwrap());
        for n in [0, 1] {
            write(n, "model.safetensors", "weights");
            write(n, "config.json", "{}");
        }
        write(0, BESIDE, "how it went");
        let [a, b] = digests();
        assert_eq!((a.len(), &a), (N_DIGITS, &b));
        let before = Look::of(folders[1].path()).unwrap();
        assert_eq!(Look::of(folders[1].path()).unwrap(), before);
        write(1, "model.safetensors", "weighty");
        assert_ne!(digests()[1], b);
        // The same bytes under another name are another checkpoint.
        write(1, "model.safetensors", "weights");
        std::fs::rename(folders[1].path().join("config.json"), folders[1].path().join("c.json"))
            .unwrap();
        assert_ne!(digests()[1], b);
        assert_ne!(Look::of(folders[1].path()).unwrap(), before);
        assert!(Look::of("nowhere".as_ref()).unwrap_err().to_string().contains("nowhere"));
    }
}
