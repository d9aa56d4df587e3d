//! The manifest of a checkpoint: size and SHA-256 of every file in it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::LearnerError;

const FILE_NAME: &str = "manifest.json";

/// What the files of a folder should be.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    files: BTreeMap<String, Fingerprint>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fingerprint {
    bytes: u64,
    sha256: String,
}

/// Compares the files of a checkpoint with its manifest. A checkpoint without one, as others write them, is accepted.
///
/// # Errors
/// The first file that differs, and how.
pub fn verify_checkpoint(dir: &Path) -> Result<(), LearnerError> {
    if dir.join(FILE_NAME).exists() { Manifest::verify(dir) } else { Ok(()) }
}

impl Manifest {
    /// Writes the manifest of a folder into it.
    pub(crate) fn write(dir: &Path) -> Result<(), LearnerError> {
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(dir).map_err(LearnerError::io("list", dir))? {
            let path = entry.map_err(LearnerError::io("list", dir))?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            files.insert(name.to_owned(), fingerprint(&path)?);
        }
        let path = dir.join(FILE_NAME);
        let json = serde_json::to_string_pretty(&Self { files })
            .map_err(|error| LearnerError::damaged(&path, error))?;
        fs::write(&path, json).map_err(LearnerError::io("write", &path))
    }

    /// Checks every file of a folder against its manifest; the error names the first that differs, and how.
    pub(crate) fn verify(dir: &Path) -> Result<(), LearnerError> {
        let path = dir.join(FILE_NAME);
        let json = fs::read(&path).map_err(LearnerError::io("read", &path))?;
        let manifest: Self =
            serde_json::from_slice(&json).map_err(|error| LearnerError::damaged(&path, error))?;
        for (name, expected) in &manifest.files {
            let path = dir.join(name);
            let got = fingerprint(&path)?;
            if got.bytes != expected.bytes {
                let reason = format!("it should have {} bytes, got {}", expected.bytes, got.bytes);
                return Err(LearnerError::damaged(&path, reason));
            }
            if got.sha256 != expected.sha256 {
                let reason =
                    format!("its SHA-256 should be {}, got {}", expected.sha256, got.sha256);
                return Err(LearnerError::damaged(&path, reason));
            }
        }
        Ok(())
    }
}

fn fingerprint(path: &Path) -> Result<Fingerprint, LearnerError> {
    let (bytes, digest) = digest(path).map_err(LearnerError::io("read", path))?;
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
