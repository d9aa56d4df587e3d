//! How processes that want the same weights find each other: a folder with locks of the operating system, which takes
//! them back when a process ends, however it ends.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Held by the process that has loaded the weights; holds its id.
const FIRST: &str = "first.lock";
/// Held by all that use them.
const USERS: &str = "users.lock";
/// Held by the one that has the places for its adapters' first factors.
const ROOM: &str = "room.lock";
/// How often a process looks whether another is ready.
const PAUSE: Duration = Duration::from_millis(20);
/// How long the first waits at its end for those that use its weights.
const PATIENCE: Duration = Duration::from_mins(1);

/// What a process is to the others that want the same.
#[derive(Debug)]
pub(super) enum Member {
    /// It loads the weights.
    First(First),
    /// It uses what another has loaded.
    Guest {
        folder: PathBuf,
        /// Locked for as long as the weights are used.
        _user: File,
    },
}

/// The process that loads the weights.
#[derive(Debug)]
pub(super) struct First {
    folder: PathBuf,
    patience: Duration,
    _lock: File,
}

/// Meets the others in a folder of this user: as the first, or as a guest with what the first has published. Waits while
/// the first is loading.
///
/// # Errors
/// A folder that is another user's, or that cannot be used.
pub(super) fn join(folder: &Path) -> Result<(Member, String)> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let of_folder = std::fs::symlink_metadata(folder)?;
    // A folder for everybody's temporary files may have been prepared by anybody.
    if !of_folder.is_dir()
        || of_folder.uid() != std::fs::metadata("/proc/self")?.uid()
        || of_folder.mode() & 0o077 != 0
    {
        let why = format!("{} is no folder that belongs to this user alone", folder.display());
        return Err(Error::new(ErrorKind::PermissionDenied, why));
    }
    let mut lock = open(folder, FIRST)?;
    loop {
        match lock.try_lock() {
            Ok(()) => {
                let patience = PATIENCE;
                let first =
                    First { folder: folder.to_owned(), patience, _lock: noted(lock, folder)? };
                return Ok((Member::First(first), String::new()));
            }
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // Before it reads: the first may be about to end, and then waits for users.
        let user = open(folder, USERS)?;
        user.lock_shared()?;
        if let Some(text) = published(&mut lock, folder)? {
            return Ok((Member::Guest { folder: folder.to_owned(), _user: user }, text));
        }
        drop(user);
        std::thread::sleep(PAUSE);
    }
}

impl Member {
    /// The lock on the places for first factors; nothing if another process has it.
    pub(super) fn room(&self) -> Option<File> {
        let folder = match self {
            Self::First(first) => &first.folder,
            Self::Guest { folder, .. } => folder,
        };
        let room = open(folder, ROOM).ok()?;
        room.try_lock().ok()?;
        Some(room)
    }
}

impl First {
    /// Lets the others have what they need to map the weights.
    ///
    /// # Errors
    /// A folder that cannot be written.
    pub(super) fn publish(&self, text: &str) -> Result<()> {
        let written = self.folder.join("weights.new");
        let mut file = private().create(true).write(true).truncate(true).open(&written)?;
        file.write_all(text.as_bytes())?;
        std::fs::rename(written, of_process(&self.folder, std::process::id()))
    }

    /// Waits for those that use the weights, and removes the folder.
    pub(super) fn finish(self) {
        _ = std::fs::remove_file(of_process(&self.folder, std::process::id()));
        let Ok(users) = open(&self.folder, USERS) else { return };
        let start = Instant::now();
        while start.elapsed() < self.patience {
            match users.try_lock() {
                Err(TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
                _ => break,
            }
        }
        // Whoever has opened a lock in it meanwhile loads weights that are not shared.
        _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// What the process that holds the lock has published.
fn published(lock: &mut File, folder: &Path) -> Result<Option<String>> {
    use std::io::Seek as _;
    let mut process = String::new();
    lock.rewind()?;
    lock.read_to_string(&mut process)?;
    let Ok(process) = process.trim().parse() else { return Ok(None) };
    match std::fs::read_to_string(of_process(folder, process)) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes this process's id into the lock. What killed processes have left is removed before: nobody reads it, since the
/// lock still names a process that has published nothing.
fn noted(mut lock: File, folder: &Path) -> Result<File> {
    lock.set_len(0)?;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            std::fs::remove_file(path)?;
        }
    }
    write!(lock, "{}", std::process::id())?;
    Ok(lock)
}

fn of_process(folder: &Path, process: u32) -> PathBuf {
    folder.join(format!("weights.{process}.json"))
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

fn open(folder: &Path, name: &str) -> Result<File> {
    private().create(true).truncate(false).read(true).write(true).open(folder.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(folder: &Path) -> First {
        match join(folder).unwrap() {
            (Member::First(first), _) => First { patience: PAUSE, ..first },
            (guest, _) => panic!("{guest:?}"),
        }
    }

    #[test]
    fn the_second_gets_what_the_first_has_published_and_one_alone_has_the_room() {
        let all = tempfile::tempdir().unwrap();
        let folder = all.path().join("weights");
        let first = first(&folder);
        std::thread::scope(|scope| {
            let second = scope.spawn(|| join(&folder).unwrap());
            std::thread::sleep(3 * PAUSE);
            assert!(!second.is_finished(), "nothing is published yet");
            first.publish("handles").unwrap();
            let (guest, text) = second.join().unwrap();
            assert_eq!(text, "handles");
            let room = guest.room();
            assert!(room.is_some() && guest.room().is_none());
        });
    }

    #[test]
    fn the_first_waits_at_its_end_for_those_that_use_its_weights() {
        let all = tempfile::tempdir().unwrap();
        let folder = all.path().join("weights");
        let mut first = first(&folder);
        first.publish("handles").unwrap();
        let (guest, _) = join(&folder).unwrap();
        first.patience = 5 * PAUSE;
        let start = Instant::now();
        first.finish();
        assert!(start.elapsed() >= 5 * PAUSE && !folder.exists());
        drop(guest);
        assert!(matches!(join(&folder).unwrap().0, Member::First(_)));
    }

    #[test]
    fn what_a_killed_process_left_is_read_by_nobody() {
        let all = tempfile::tempdir().unwrap();
        let folder = all.path().join("weights");
        DirBuilder::new().mode(0o700).create(&folder).unwrap();
        std::fs::write(folder.join(FIRST), "1").unwrap();
        std::fs::write(of_process(&folder, 1), "stale").unwrap();
        let first = first(&folder);
        assert!(!of_process(&folder, 1).exists());
        first.publish("fresh").unwrap();
        assert_eq!(join(&folder).unwrap().1, "fresh");
    }

    #[test]
    fn a_folder_that_others_can_enter_is_not_used() {
        use std::os::unix::fs::PermissionsExt as _;
        let all = tempfile::tempdir().unwrap();
        let folder = all.path().join("weights");
        std::fs::create_dir(&folder).unwrap();
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).unwrap();
        let error = join(&folder).unwrap_err().to_string();
        assert!(error.contains("belongs to this user alone"), "{error}");
    }
}
