//! The other side: pulls a version that another machine published, piece by piece.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tracing::debug;
use zenoh::bytes::Encoding;
use zenoh::{Session, Wait};

use crate::fetch::{check_checksum, check_size};
use crate::link::{self, MAX_CHUNK_BYTES};
use crate::store::of_file;
use crate::version::file_name;
use crate::{PolicyAnnouncement, WeightsError, file};

/// How long a chunk may take before it is asked for again.
const CHUNK_TIMEOUT: Duration = Duration::from_secs(10);

/// Pause before a chunk is asked for again; a learner that restarts is back within a few of them.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// Attempts for one chunk.
const ATTEMPTS: u32 = 60;

/// Pulls weights from a learner's [`crate::Server`].
///
/// Connect, use and drop it outside of async code: all three wait for the network.
#[derive(Debug)]
pub struct Client {
    session: Session,
    run: String,
    endpoint: String,
    chunk_bytes: u64,
    attempts: u32,
}

/// Why a chunk did not come.
enum Missed {
    /// The learner said so: asking again is no use.
    Refused(String),
    /// Nobody answered in time.
    Silence,
}

impl Client {
    /// Connects to the server of a run; waits up to ten seconds for it to be there.
    pub fn connect(run: &str, endpoint: &str) -> Result<Self, WeightsError> {
        Self::connect_with(run, endpoint, Path::new(""))
    }

    /// The same with zenoh settings (JSON5) from a file, such as TLS and access control; an empty path for none.
    pub fn connect_with(run: &str, endpoint: &str, settings: &Path) -> Result<Self, WeightsError> {
        let run = run.to_owned();
        let endpoint = endpoint.to_owned();
        let session = link::connect(&endpoint, settings)?;
        Ok(Self { session, run, endpoint, chunk_bytes: MAX_CHUNK_BYTES, attempts: ATTEMPTS })
    }

    /// Asks for smaller pieces than the default of 8 MiB, for links that lose long messages.
    pub fn with_chunk_bytes(mut self, chunk_bytes: u64) -> Self {
        self.chunk_bytes = chunk_bytes.clamp(1, MAX_CHUNK_BYTES);
        self
    }

    /// Asks this often for a piece before giving up, half a second apart.
    pub fn with_attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts.max(1);
        self
    }

    /// Brings the file of a version into a folder of this machine and returns the version as found there.
    ///
    /// A pull that breaks off keeps its part, and the next pull of the same version continues from there. What
    /// arrives whole but damaged is thrown away. One folder belongs to one client.
    pub fn pull(
        &self,
        version: &PolicyAnnouncement,
        dir: &Path,
    ) -> Result<PolicyAnnouncement, WeightsError> {
        fs::create_dir_all(dir).map_err(WeightsError::io("create", dir))?;
        let path = dir.join(file_name(version.version));
        let partial = partial_path(version, dir);
        let mut got = size(&partial).unwrap_or(0);
        if got > version.bytes {
            fs::remove_file(&partial).map_err(WeightsError::io("remove", &partial))?;
            got = 0;
        }
        self.complete(version, &partial, got)?;
        if let Err(error) = verify(version, &partial) {
            fs::remove_file(&partial).map_err(WeightsError::io("remove", &partial))?;
            return Err(error);
        }
        fs::rename(&partial, &path).map_err(WeightsError::io("rename", &partial))?;
        Ok(PolicyAnnouncement { location: path.display().to_string(), ..version.clone() })
    }

    /// Appends to a partial file until it has all its bytes.
    fn complete(
        &self,
        version: &PolicyAnnouncement,
        partial: &Path,
        mut got: u64,
    ) -> Result<(), WeightsError> {
        let write_failed = || WeightsError::io("write", partial);
        let mut file: File =
            OpenOptions::new().create(true).append(true).open(partial).map_err(write_failed())?;
        while got < version.bytes {
            let chunk = self.chunk(version, got)?;
            file.write_all(&chunk).map_err(write_failed())?;
            got += chunk.len() as u64;
        }
        file.flush().map_err(write_failed())
    }

    /// One piece of the file, asked for until it comes or the attempts are used up.
    fn chunk(&self, version: &PolicyAnnouncement, offset: u64) -> Result<Vec<u8>, WeightsError> {
        for attempt in 1..=self.attempts {
            match self.ask(version, offset)? {
                Ok(chunk) => return Ok(chunk),
                Err(Missed::Refused(message)) => {
                    return Err(WeightsError::Refused { version: version.version, message });
                }
                Err(Missed::Silence) if attempt < self.attempts => {
                    debug!(offset, attempt, "A piece of the weights did not come; asking again.");
                    std::thread::sleep(RETRY_PAUSE);
                }
                Err(Missed::Silence) => {}
            }
        }
        Err(WeightsError::NoAnswer {
            version: version.version,
            endpoint: self.endpoint.clone(),
            got: offset,
            expected: version.bytes,
            attempts: self.attempts,
        })
    }

    fn ask(
        &self,
        version: &PolicyAnnouncement,
        offset: u64,
    ) -> Result<Result<Vec<u8>, Missed>, WeightsError> {
        let key = link::key(&self.run, version.version);
        let len = self.chunk_bytes.min(version.bytes - offset);
        let replies = self
            .session
            .get(format!("{key}?offset={offset};len={len}"))
            .timeout(CHUNK_TIMEOUT)
            .wait()
            .map_err(|error| link::failed("ask for weights", &self.endpoint, error))?;
        let Ok(reply) = replies.recv() else { return Ok(Err(Missed::Silence)) };
        Ok(match reply.result() {
            Ok(sample) => within(sample.payload().to_bytes().into_owned(), len),
            // The transport's own errors, such as a timeout, have another encoding than a refusal.
            Err(error) if *error.encoding() == Encoding::TEXT_PLAIN => {
                Err(Missed::Refused(String::from_utf8_lossy(&error.payload().to_bytes()).into()))
            }
            Err(_) => Err(Missed::Silence),
        })
    }
}

/// An answer that keeps to what was asked for.
fn within(chunk: Vec<u8>, len: u64) -> Result<Vec<u8>, Missed> {
    match chunk.len() as u64 {
        got if got >= 1 && got <= len => Ok(chunk),
        got => Err(Missed::Refused(format!("a piece should have 1 to {len} bytes, got {got}"))),
    }
}

/// The checksum in the name keeps parts of different runs and attempts apart.
fn partial_path(version: &PolicyAnnouncement, dir: &Path) -> PathBuf {
    let checksum: String = version.checksum.chars().take(16).collect();
    dir.join(format!("v{}-{checksum}.part", version.version))
}

fn size(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().map(|metadata| metadata.len())
}

fn verify(version: &PolicyAnnouncement, path: &Path) -> Result<(), WeightsError> {
    check_size(version, path, size(path).unwrap_or(0))?;
    let file = File::open(path).map_err(WeightsError::io("read", path))?;
    let got = file::checksum(&file, version.bytes);
    check_checksum(version, path, got.map_err(|error| of_file("read", error, path))?)
}
