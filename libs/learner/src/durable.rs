//! Writing so that a power cut leaves the old or the new, never half of either.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use crate::LearnerError;

/// Waits until every file of a folder, and the folder itself, is on disk.
pub(crate) fn sync_folder(dir: &Path) -> Result<(), LearnerError> {
    for entry in fs::read_dir(dir).map_err(LearnerError::io("list", dir))? {
        let path = entry.map_err(LearnerError::io("list", dir))?.path();
        sync(&path).map_err(LearnerError::io("sync", &path))?;
    }
    sync_entries(dir)
}

/// Waits until the names in a folder are on disk.
pub(crate) fn sync_entries(dir: &Path) -> Result<(), LearnerError> {
    // Only Unix opens folders like files; elsewhere the file system makes names durable without help.
    if cfg!(unix) { sync(dir).map_err(LearnerError::io("sync", dir)) } else { Ok(()) }
}

/// Gives a finished folder its name. What had the name is kept aside under `aside` until the new one is there.
pub(crate) fn replace_folder(from: &Path, to: &Path, aside: &Path) -> Result<(), LearnerError> {
    let replaces = to.exists();
    if replaces {
        remove(aside)?;
        fs::rename(to, aside).map_err(LearnerError::io("rename", to))?;
    }
    fs::rename(from, to).map_err(LearnerError::io("rename", from))?;
    to.parent().map_or(Ok(()), sync_entries)?;
    if replaces { remove(aside) } else { Ok(()) }
}

/// Removes a file or folder, if there is one.
pub(crate) fn remove(path: &Path) -> Result<(), LearnerError> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(LearnerError::io("remove", path)),
    }
}

fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
