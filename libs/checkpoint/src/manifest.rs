//! The manifest of a checkpoint: size and SHA-256 of every file in it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::stead::refuse_pointer;
use crate::{Adapter, CheckpointError};

const FILE_NAME: &str = "manifest.json";

/// What names another file, so that it changes when that one moves; whether it makes sense is seen when it is read.
const EDITABLE: &str = "adapter_config.json";

/// Bytes at the start of a file that tell what it is.
const N_START: u64 = 64;

/// What the files of a folder should be.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    files: BTreeMap<String, Fingerprint>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fingerprint {
    bytes: u64,
    sha256: String,
}

/// Compares the files of a checkpoint with its manifest, of an adapter also those of its base; `base` stands for the base
/// that the adapter's own files name. A checkpoint without a manifest, as others write them, is accepted, and so is one in
/// whose `adapter_config.json` somebody has written where the base is now.
///
/// # Errors
/// The first file that differs, and how; a base that is not there.
pub fn verify(dir: &Path, base: Option<&Path>) -> Result<(), CheckpointError> {
    if let Some(adapter) = Adapter::read_beside(dir, base)? {
        verify_if_listed(adapter.base())?;
    }
    verify_if_listed(dir)
}

fn verify_if_listed(dir: &Path) -> Result<(), CheckpointError> {
    if dir.join(FILE_NAME).exists() { Manifest::verify_but(dir, EDITABLE) } else { Ok(()) }
}

impl Manifest {
    /// Writes the manifest of a folder into it.
    ///
    /// # Errors
    /// A file that cannot be read or written.
    pub fn write(dir: &Path) -> Result<(), CheckpointError> {
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(dir).map_err(CheckpointError::read(dir))? {
            let path = entry.map_err(CheckpointError::read(dir))?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            if name == FILE_NAME || !path.is_file() {
                continue;
            }
            files.insert(name.to_owned(), fingerprint(&path)?);
        }
        let path = dir.join(FILE_NAME);
        let json = serde_json::to_string_pretty(&Self { files })
            .map_err(|error| CheckpointError::damaged(&path, error))?;
        fs::write(&path, json).map_err(CheckpointError::write(&path))
    }

    /// Checks every file of a folder against its manifest.
    ///
    /// # Errors
    /// No manifest, or the first file that differs, and how.
    pub fn verify(dir: &Path) -> Result<(), CheckpointError> {
        Self::verify_but(dir, "")
    }

    /// The same, but for one file.
    fn verify_but(dir: &Path, but: &str) -> Result<(), CheckpointError> {
        let path = dir.join(FILE_NAME);
        let json = fs::read(&path).map_err(CheckpointError::read(&path))?;
        let manifest: Self = serde_json::from_slice(&json)
            .map_err(|error| CheckpointError::damaged(&path, error))?;
        for (name, expected) in manifest.files.iter().filter(|(name, _)| *name != but) {
            let path = dir.join(name);
            let got = fingerprint(&path)?;
            if got.bytes != expected.bytes {
                refuse_pointer(&path, &start(&path)?)?;
                let reason = format!("it should have {} bytes, got {}", expected.bytes, got.bytes);
                return Err(CheckpointError::damaged(&path, reason));
            }
            if got.sha256 != expected.sha256 {
                let reason =
                    format!("its SHA-256 should be {}, got {}", expected.sha256, got.sha256);
                return Err(CheckpointError::damaged(&path, reason));
            }
        }
        Ok(())
    }
}

/// How a file begins.
fn start(path: &Path) -> Result<Vec<u8>, CheckpointError> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(CheckpointError::read(path))?;
    file.take(N_START).read_to_end(&mut bytes).map_err(CheckpointError::read(path))?;
    Ok(bytes)
}

fn fingerprint(path: &Path) -> Result<Fingerprint, CheckpointError> {
    let (bytes, digest) = digest(path).map_err(CheckpointError::read(path))?;
    let sha256 = digest.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
        text
    });
    Ok(Fingerprint { bytes, sha256 })
}

fn digest(path: &Path) -> io::Result<(u64, Vec<u8>)> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut bytes = 0;
    let mut block = vec![0; 1 << 20];
    loop {
        match file.read(&mut block)? {
            0 => return Ok((bytes, hash.finalize().to_vec())),
            n => {
                hash.update(&block[..n]);
                bytes += n as u64;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(damage: impl FnOnce(&Path), expect: Option<&str>) {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a"), "abc").unwrap();
        fs::write(dir.path().join("b"), "").unwrap();
        Manifest::write(dir.path()).unwrap();
        damage(dir.path());
        match (Manifest::verify(dir.path()).map_err(|error| error.to_string()), expect) {
            (Ok(()), None) => {}
            (Err(error), Some(expect)) => assert!(error.contains(expect), "{error}"),
            (got, expect) => panic!("{got:?}, not {expect:?}"),
        }
    }

    #[test]
    fn where_the_base_of_an_adapter_is_may_be_written_anew() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a"), "abc").unwrap();
        fs::write(dir.path().join(EDITABLE), "{}").unwrap();
        Manifest::write(dir.path()).unwrap();
        fs::write(dir.path().join(EDITABLE), "{\"a\": 1}").unwrap();
        verify_if_listed(dir.path()).unwrap();
        assert!(Manifest::verify(dir.path()).is_err());
        fs::write(dir.path().join("a"), "abd").unwrap();
        let error = verify_if_listed(dir.path()).unwrap_err().to_string();
        assert!(error.contains("a\" is damaged"), "{error}");
    }

    #[test]
    fn an_untouched_folder_is_intact() {
        check(|_| {}, None);
    }

    #[test]
    fn a_change_is_named() {
        check(|dir| fs::write(dir.join("a"), "abd").unwrap(), Some("a\" is damaged: its SHA-256"));
        check(|dir| fs::write(dir.join("b"), "x").unwrap(), Some("should have 0 bytes, got 1"));
        check(|dir| fs::remove_file(dir.join("a")).unwrap(), Some("cannot read"));
        check(
            |dir| fs::write(dir.join(FILE_NAME), "{").unwrap(),
            Some("manifest.json\" is damaged"),
        );
    }
}
