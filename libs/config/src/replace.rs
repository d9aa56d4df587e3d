//! Files that are replaced whole.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Writes a file beside its place and renames it: a reader, and whoever comes after a crash, finds what was there before or
/// all of this, never half of it.
///
/// # Errors
/// A folder that is not there or not writable, a full disk.
pub fn replace(path: &Path, bytes: impl AsRef<[u8]>) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    let beside = path.with_file_name(name);
    let mut file = File::create(&beside)?;
    file.write_all(bytes.as_ref())?;
    // Otherwise the name could reach the disk before what it names.
    file.sync_data()?;
    fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_there_is_replaced_and_nothing_stays_beside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        replace(&path, "long before").unwrap();
        replace(&path, "now").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "now");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(replace(&folder.path().join("gone/a.json"), "nowhere").is_err());
    }
}
