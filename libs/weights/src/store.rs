//! The store: a folder with one file per published version.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

use candle_core::Tensor;

use crate::file::{self, FileError};
use crate::version::{file_name, parse_file_name};
use crate::{PolicyAnnouncement, WeightsError};

/// A version that is no longer needed: the next one is written over it, which spares the system the making of
/// new pages. A node that reads it all the same finds that the checksum is wrong.
const SPARE: &str = "spare.safetensors.tmp";

/// The folder that a learner publishes to; in memory (`/dev/shm`) or on disk.
#[derive(Debug, Clone)]
pub struct Store {
    dir: PathBuf,
}

impl Store {
    /// Opens a folder, made if need be, and removes what an interrupted writer left there.
    pub fn new(dir: &Path) -> Result<Self, WeightsError> {
        fs::create_dir_all(dir).map_err(WeightsError::io("create", dir))?;
        let dir = dir.canonicalize().map_err(WeightsError::io("open", dir))?;
        let store = Self { dir };
        for name in store.names()? {
            if name.ends_with(".safetensors.tmp") {
                store.remove(&name)?;
            }
        }
        Ok(store)
    }

    /// The folder of the policy files, as an absolute path.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Writes a version; the file appears under its name only when it is whole.
    ///
    /// Not synced to disk: what must survive a power cut is the checkpoint, and readers on this machine see
    /// the file the moment it is renamed.
    pub fn publish(
        &self,
        version: u64,
        tensors: &BTreeMap<String, Tensor>,
    ) -> Result<PolicyAnnouncement, WeightsError> {
        let path = self.dir.join(file_name(version));
        let partial = path.with_extension("safetensors.tmp");
        // There is no spare file before the second version has gone.
        let recycled = fs::rename(self.dir.join(SPARE), &partial).is_ok();
        let mut options = OpenOptions::new();
        let file = options.write(true).create(!recycled).truncate(!recycled).open(&partial);
        let file = file.map_err(WeightsError::io("create", &partial))?;
        let written = file::write(tensors, &file);
        let (bytes, checksum) = written.map_err(|error| of_file("write", error, &partial))?;
        fs::rename(&partial, &path).map_err(WeightsError::io("rename", &partial))?;
        let location = path.display().to_string();
        Ok(PolicyAnnouncement { version, location, bytes, checksum, group_size: 0 })
    }

    /// Removes the files of all versions before this one; the last of them becomes the next version's.
    pub fn remove_below(&self, version: u64) -> Result<(), WeightsError> {
        for name in self.names()? {
            if parse_file_name(&name).is_some_and(|found| found < version) {
                let path = self.dir.join(&name);
                let spare = self.dir.join(SPARE);
                fs::rename(&path, &spare).map_err(WeightsError::io("rename", &path))?;
            }
        }
        Ok(())
    }

    /// Removes what is of use only to a next version, of which there will be none.
    pub fn close(&self) -> Result<(), WeightsError> {
        if self.dir.join(SPARE).exists() { self.remove(SPARE) } else { Ok(()) }
    }

    fn names(&self) -> Result<Vec<String>, WeightsError> {
        let failed = || WeightsError::io("list", &self.dir);
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(failed())? {
            let entry = entry.map_err(failed())?;
            names.extend(entry.file_name().into_string().ok());
        }
        Ok(names)
    }

    fn remove(&self, name: &str) -> Result<(), WeightsError> {
        let path = self.dir.join(name);
        fs::remove_file(&path).map_err(WeightsError::io("remove", &path))
    }
}

pub(crate) fn of_file(action: &'static str, error: FileError, path: &Path) -> WeightsError {
    match error {
        FileError::Io(source) => WeightsError::Io { action, path: path.to_owned(), source },
        FileError::Format(error) => {
            WeightsError::Format { path: path.to_owned(), message: error.to_string() }
        }
        FileError::Tensor(error) => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;

    fn weights() -> BTreeMap<String, Tensor> {
        let tensor = Tensor::ones((2, 3), DType::F32, &Device::Cpu).unwrap();
        BTreeMap::from([("w".to_owned(), tensor)])
    }

    fn checksum_of(version: &PolicyAnnouncement) -> String {
        let file = fs::File::open(&version.location).unwrap();
        file::checksum(&file, version.bytes).unwrap()
    }

    #[test]
    fn the_announcement_matches_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let published = Store::new(dir.path()).unwrap().publish(7, &weights()).unwrap();
        let bytes = fs::read(&published.location).unwrap();
        assert!(published.location.ends_with("/v7.safetensors"));
        assert_eq!(published.bytes, bytes.len() as u64);
        assert_eq!(published.checksum, checksum_of(&published));
        assert!(published.is_local());
    }

    #[test]
    fn old_versions_go_and_everything_else_stays() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path()).unwrap();
        for version in [3, 4, 10] {
            store.publish(version, &weights()).unwrap();
        }
        fs::write(dir.path().join("notes.txt"), "mine").unwrap();
        store.remove_below(10).unwrap();
        let mut left = store.names().unwrap();
        left.sort();
        assert_eq!(left, ["notes.txt", SPARE, "v10.safetensors"]);
        store.close().unwrap();
        assert_eq!(store.names().unwrap().len(), 2);
    }

    #[test]
    fn a_version_over_an_old_one_is_whole_also_if_it_is_shorter() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path()).unwrap();
        let long = Tensor::ones((20, 30), DType::F32, &Device::Cpu).unwrap();
        store.publish(1, &BTreeMap::from([("w".to_owned(), long)])).unwrap();
        store.remove_below(2).unwrap();
        let published = store.publish(2, &weights()).unwrap();
        assert!(!dir.path().join(SPARE).exists());
        assert_eq!(published.bytes, fs::metadata(&published.location).unwrap().len());
        assert_eq!(crate::fetch(&published).unwrap()["w"].dims(), [2, 3]);
    }

    #[test]
    fn leftovers_of_an_interrupted_writer_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("v3.safetensors.tmp"), "half").unwrap();
        assert!(Store::new(dir.path()).unwrap().names().unwrap().is_empty());
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let blocked = dir.path().join("file");
        fs::write(&blocked, "").unwrap();
        let error = Store::new(&blocked.join("store")).unwrap_err().to_string();
        assert!(error.starts_with("cannot create ") && error.contains("file/store"), "{error}");
    }
}
