//! Pictures that stood inside the file of the rows: equal ones once, few in memory, many in a temporary file.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use twox_hash::XxHash3_128;

/// Bytes that are kept in memory; what comes after goes to a temporary file.
const MAX_MEMORY: usize = 128 << 20;

/// Where temporary files outlive a restart and are on a disk, where there is such a folder.
const DISK_FOLDER: &str = "/var/tmp";

/// Takes in encoded pictures one by one.
#[derive(Debug, Default)]
pub(crate) struct Store {
    known: HashMap<u128, Blob>,
    n_memory: usize,
    file: Option<Arc<Mutex<File>>>,
    n_spilled: u64,
}

/// Bytes that can be read again.
#[derive(Debug, Clone)]
pub(crate) enum Blob {
    Memory(Arc<[u8]>),
    Spilled { file: Arc<Mutex<File>>, start: u64, len: usize },
}

impl Store {
    /// Keeps these bytes, unless the same were kept before.
    pub(crate) fn keep(&mut self, bytes: &[u8]) -> std::io::Result<Blob> {
        let key = XxHash3_128::oneshot(bytes);
        if let Some(blob) = self.known.get(&key) {
            return Ok(blob.clone());
        }
        let blob = if self.n_memory + bytes.len() <= MAX_MEMORY {
            self.n_memory += bytes.len();
            Blob::Memory(bytes.into())
        } else {
            self.spill(bytes)?
        };
        self.known.insert(key, blob.clone());
        Ok(blob)
    }

    /// Bytes in the temporary file.
    pub(crate) fn n_spilled(&self) -> u64 {
        self.n_spilled
    }

    fn spill(&mut self, bytes: &[u8]) -> std::io::Result<Blob> {
        let file = match &self.file {
            Some(file) => file.clone(),
            None => self.file.insert(Arc::new(Mutex::new(temporary_file()?))).clone(),
        };
        let start = self.n_spilled;
        {
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            file.seek(SeekFrom::Start(start))?;
            file.write_all(bytes)?;
        }
        self.n_spilled += bytes.len() as u64;
        Ok(Blob::Spilled { file, start, len: bytes.len() })
    }
}

/// Without a name, so that it goes away with the process. `TMPDIR` says where; a default of `/tmp` may be memory.
fn temporary_file() -> std::io::Result<File> {
    if std::env::var_os("TMPDIR").is_none() && Path::new(DISK_FOLDER).is_dir() {
        return tempfile::tempfile_in(DISK_FOLDER);
    }
    tempfile::tempfile()
}

impl Blob {
    pub(crate) fn read(&self) -> std::io::Result<Vec<u8>> {
        match self {
            Blob::Memory(bytes) => Ok(bytes.to_vec()),
            Blob::Spilled { file, start, len } => {
                let mut bytes = vec![0; *len];
                let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                file.seek(SeekFrom::Start(*start))?;
                file.read_exact(&mut bytes)?;
                Ok(bytes)
            }
        }
    }
}

impl PartialEq for Blob {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Blob::Memory(a), Blob::Memory(b)) => a == b,
            (Blob::Spilled { file, start, len }, Blob::Spilled { file: f, start: s, len: l }) => {
                Arc::ptr_eq(file, f) && start == s && len == l
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_bytes_are_kept_once() {
        let mut store = Store::default();
        let first = store.keep(b"one").unwrap();
        let (Blob::Memory(a), Blob::Memory(b)) = (first, store.keep(b"one").unwrap()) else {
            panic!("few bytes stay in memory")
        };
        assert!(Arc::ptr_eq(&a, &b));
    }

    #[test]
    fn what_goes_to_the_disk_comes_back() {
        let mut store = Store { n_memory: MAX_MEMORY, ..Store::default() };
        let blobs = [b"first".as_slice(), b"second", b"third"].map(|b| store.keep(b).unwrap());
        assert!(matches!(blobs[1], Blob::Spilled { start: 5, len: 6, .. }));
        assert_eq!(blobs[2].read().unwrap(), b"third");
        assert_eq!(blobs[0].read().unwrap(), b"first");
        assert_eq!(store.n_spilled(), 16);
    }
}
