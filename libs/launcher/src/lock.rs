//! One run at a time in a run folder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::Path;

use eyre::{WrapErr, bail, ensure};

/// The file that is locked; it holds the id of the process that has locked it.
const LOCK: &str = "run.lock";

/// A run folder that is ours. The operating system takes the lock back when the process ends, however it ends, so a
/// file that a killed run left behind locks nobody out.
#[derive(Debug)]
pub(crate) struct RunLock {
    _file: File,
}

impl RunLock {
    /// Takes a run folder.
    ///
    /// # Errors
    /// A folder that another process has, or that cannot be written.
    pub(crate) fn take(run_dir: &Path) -> eyre::Result<Self> {
        let path = run_dir.join(LOCK);
        let opened =
            OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path);
        let mut file = opened.wrap_err_with(|| format!("cannot open {path:?}"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut id = String::new();
                let is_told = file.read_to_string(&mut id).is_ok() && !id.trim().is_empty();
                let id = id.trim();
                ensure!(
                    !is_told
                        || Path::new("/proc").join(id).exists()
                        || !Path::new("/proc/self").exists(),
                    "the run in {run_dir:?} was killed (process {id}), and nodes of it are still ending: try again in a few seconds"
                );
                let process =
                    if is_told { format!("process {id}") } else { "another process".to_owned() };
                bail!(
                    "a run is under way in {run_dir:?} ({process}): two would mix their steps; wait until it has \
                     ended, or name another folder with --out"
                );
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).wrap_err_with(|| format!("cannot lock {path:?}"));
            }
        }
        let noted = file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()));
        noted.wrap_err_with(|| format!("cannot write {path:?}"))?;
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_run_is_refused_until_the_first_has_ended() {
        let folder = tempfile::tempdir().unwrap();
        let first = RunLock::take(folder.path()).unwrap();
        let error = RunLock::take(folder.path()).unwrap_err().to_string();
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
        drop(first);
        RunLock::take(folder.path()).unwrap();
    }

    #[test]
    fn what_a_killed_run_left_behind_locks_nobody_out() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(LOCK), "4194304").unwrap();
        RunLock::take(folder.path()).unwrap();
    }
}
