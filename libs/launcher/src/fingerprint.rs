//! What tells one content of a run's files from another: of its data, of the pictures that the rows name, of the weights that
//! it starts from.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::thread;

use eyre::{WrapErr, eyre};
use serde::{Deserialize, Serialize};
use twox_hash::xxhash3_128::Hasher;
use vrft_dataset::Dataset;

/// Bytes at the start and at the end of a large picture that its checksum is of: compressed pictures differ from there on.
const END: usize = 32 << 10;

/// Extensions of pictures whose pixels are stored as they are, so that one may differ in its middle alone.
const UNCOMPRESSED: [&str; 7] = ["bmp", "ppm", "pgm", "pnm", "tif", "tiff", "tga"];

/// Extensions of files that rows are read from.
const DATA: [&str; 7] = ["parquet", "arrow", "feather", "jsonl", "json", "csv", "xml"];

/// Extensions of files that a model is made of.
const MODEL: [&str; 4] = ["safetensors", "json", "jinja", "txt"];

/// What checkpoints have beside the model: that of another folder says nothing about the weights.
const MANIFEST: &str = "manifest.json";

/// Fingerprints of files by their paths.
pub(crate) type Fingerprints = BTreeMap<PathBuf, Fingerprint>;

/// What tells one content of a file from another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fingerprint {
    pub(crate) bytes: u64,
    /// Checksum of the content: of the whole, or of both ends of a large picture.
    pub(crate) xxh3: String,
}

impl Fingerprint {
    /// Of a text.
    pub(crate) fn of_text(text: &str) -> Self {
        let mut hasher = Hasher::new();
        hasher.write(text.as_bytes());
        Self::of(text.len() as u64, hasher)
    }

    fn of(bytes: u64, hasher: Hasher) -> Self {
        Self { bytes, xxh3: format!("{:032x}", hasher.finish_128()) }
    }

    fn of_file(path: &Path) -> std::io::Result<Self> {
        let mut file = File::open(path)?;
        let mut hasher = Hasher::new();
        let mut bytes = 0;
        let mut block = vec![0; 1 << 20];
        loop {
            match file.read(&mut block)? {
                0 => return Ok(Self::of(bytes, hasher)),
                n => {
                    hasher.write(&block[..n]);
                    bytes += n as u64;
                }
            }
        }
    }

    fn of_picture(path: &Path) -> std::io::Result<Self> {
        let mut file = File::open(path)?;
        let bytes = file.metadata()?.len();
        let end = path.extension().map(|end| end.to_string_lossy().to_lowercase());
        let is_uncompressed = end.is_some_and(|end| UNCOMPRESSED.contains(&end.as_str()));
        if is_uncompressed || bytes <= 2 * END as u64 {
            return Self::of_file(path);
        }
        let mut hasher = Hasher::new();
        let mut block = vec![0; END];
        file.read_exact(&mut block)?;
        hasher.write(&block);
        file.seek(SeekFrom::End(-(END as i64)))?;
        file.read_exact(&mut block)?;
        hasher.write(&block);
        Ok(Self::of(bytes, hasher))
    }
}

/// Fingerprints of these files; of a folder, of the data files in it.
///
/// # Errors
/// A file that cannot be read.
pub(crate) fn of_data(paths: &[PathBuf]) -> eyre::Result<Fingerprints> {
    let mut found = Fingerprints::new();
    for path in paths {
        for file in files_of(path, &DATA)? {
            insert(&mut found, file)?;
        }
    }
    Ok(found)
}

/// Fingerprints of the files of a model, and of its base if it is an adapter.
///
/// # Errors
/// A file that cannot be read; a base that is not there.
pub(crate) fn of_model(folder: &Path, base: Option<&Path>) -> eyre::Result<Fingerprints> {
    let base = vrft_checkpoint::model_dir(folder, base)?;
    let mut found = Fingerprints::new();
    for folder in BTreeSet::from([folder, &base]) {
        let entries = std::fs::read_dir(folder);
        for entry in entries.wrap_err_with(|| format!("cannot list {folder:?}"))? {
            let path = entry?.path();
            let is_manifest = path.file_name().is_some_and(|name| name == MANIFEST);
            if path.is_file() && has_extension(&path, &MODEL) && !is_manifest {
                insert(&mut found, path)?;
            }
        }
    }
    Ok(found)
}

/// Fingerprints of the pictures and videos that rows name in files of their own; one that is gone meanwhile has none.
pub(crate) fn of_pictures(datasets: &[Dataset]) -> Fingerprints {
    let rows = datasets.iter().flat_map(Dataset::iter);
    let files = rows.flat_map(|row| row.pictures.iter().filter_map(|picture| picture.file()));
    let files: Vec<&Path> = files.collect::<BTreeSet<_>>().into_iter().collect();
    let n_threads = thread::available_parallelism().map_or(1, NonZero::get);
    let share = files.len().div_ceil(n_threads).max(1);
    thread::scope(|scope| {
        let threads = files.chunks(share).map(|files| {
            scope.spawn(move || {
                let print =
                    |path: &&Path| Some((path.to_path_buf(), Fingerprint::of_picture(path).ok()?));
                files.iter().filter_map(print).collect::<Vec<_>>()
            })
        });
        let threads: Vec<_> = threads.collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).flatten().collect()
    })
}

/// What changed, came or went, a sentence each.
pub(crate) fn differences(before: &Fingerprints, now: &Fingerprints) -> Vec<String> {
    let mut changed = Vec::new();
    for (path, before) in before {
        match now.get(path) {
            None if path.exists() => changed.push(format!(
                "{} is there, but no longer used: no row names it any more, or another file is read",
                path.display()
            )),
            None => changed.push(format!("{} is gone", path.display())),
            Some(now) if now != before => changed.push(format!(
                "{} has another content ({} bytes before, {} now)",
                path.display(),
                before.bytes,
                now.bytes
            )),
            Some(_) => {}
        }
    }
    let new = now.keys().filter(|path| !before.contains_key(*path));
    changed.extend(new.map(|path| format!("{} is new", path.display())));
    changed
}

fn insert(found: &mut Fingerprints, path: PathBuf) -> eyre::Result<()> {
    let print =
        Fingerprint::of_file(&path).map_err(|error| eyre!("cannot read {path:?}: {error}"))?;
    found.insert(path, print);
    Ok(())
}

fn has_extension(path: &Path, known: &[&str]) -> bool {
    path.extension()
        .and_then(|extension| extension.to_str())
        .is_some_and(|end| known.contains(&end))
}

fn files_of(path: &Path, extensions: &[&str]) -> eyre::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(if path.is_file() { vec![path.to_owned()] } else { Vec::new() });
    }
    let mut files = Vec::new();
    let entries = std::fs::read_dir(path).wrap_err_with(|| format!("cannot list {path:?}"))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(files_of(&path, extensions)?);
        } else if has_extension(&path, extensions) {
            files.push(path);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_that_changed_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        std::fs::write(file("a.jsonl"), "1").unwrap();
        std::fs::write(file("picture.png"), "1").unwrap();
        let paths = [folder.path().to_owned()];
        let before = of_data(&paths).unwrap();
        assert_eq!(before.len(), 1);
        assert!(differences(&before, &of_data(&paths).unwrap()).is_empty());
        std::fs::write(file("a.jsonl"), "2").unwrap();
        std::fs::write(file("b.jsonl"), "3").unwrap();
        let told = differences(&before, &of_data(&paths).unwrap()).join("; ");
        for word in ["a.jsonl has another content", "b.jsonl is new"] {
            assert!(told.contains(word), "{told}");
        }
        // A picture whose row was taken out is still there.
        let told = differences(&before, &Fingerprints::new()).join("; ");
        assert!(told.contains("a.jsonl is there, but no longer used"), "{told}");
        std::fs::remove_file(file("a.jsonl")).unwrap();
        let told = differences(&before, &Fingerprints::new()).join("; ");
        assert!(told.contains("a.jsonl is gone"), "{told}");
    }

    #[test]
    fn a_picture_that_was_replaced_by_one_of_the_same_size_is_another() {
        let folder = tempfile::tempdir().unwrap();
        let print = |name: &str, at: usize, byte: u8| {
            let path = folder.path().join(name);
            let mut content = vec![7; 200 << 10];
            content[at] = byte;
            std::fs::write(&path, content).unwrap();
            Fingerprint::of_picture(&path).unwrap()
        };
        assert_eq!(print("a.jpg", 9, 1), print("a.jpg", 9, 1));
        assert_ne!(print("a.jpg", 9, 1), print("a.jpg", 9, 2));
        // In the middle only where pixels are stored as they are.
        assert_ne!(print("a.bmp", 100 << 10, 1), print("a.bmp", 100 << 10, 2));
    }

    #[test]
    fn weights_that_changed_are_named_and_a_manifest_says_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        for name in ["config.json", "model.safetensors", "manifest.json"] {
            std::fs::write(file(name), "1").unwrap();
        }
        let before = of_model(folder.path(), None).unwrap();
        assert_eq!(before.len(), 2);
        std::fs::write(file("manifest.json"), "2").unwrap();
        assert_eq!(of_model(folder.path(), None).unwrap(), before);
        std::fs::write(file("model.safetensors"), "2").unwrap();
        let told = differences(&before, &of_model(folder.path(), None).unwrap());
        assert!(matches!(&told[..], [one] if one.contains("model.safetensors")), "{told:?}");
    }
}
