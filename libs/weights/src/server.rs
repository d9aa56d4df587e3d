//! The learner's side: answers requests for pieces of published files.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use tracing::warn;
use zenoh::bytes::Encoding;
use zenoh::handlers::FifoChannelHandler;
use zenoh::query::{Query, Queryable};
use zenoh::{Session, Wait};

use crate::link::{self, MAX_CHUNK_BYTES};
use crate::version::file_name;
use crate::{Store, WeightsError};

/// Serves the files of a store until it is dropped.
///
/// A request is `vrft/weights/<run>/<version>?offset=..;len=..`, the answer that piece of the file.
/// Start and drop it outside of async code: both wait for the network.
#[derive(Debug)]
pub struct Server {
    session: Session,
    worker: Option<JoinHandle<()>>,
    bytes_served: Arc<AtomicU64>,
}

impl Server {
    /// Listens on an endpoint such as [`crate::DEFAULT_ENDPOINT`] for requests about a run.
    pub fn start(store: &Store, run: &str, endpoint: &str) -> Result<Self, WeightsError> {
        Self::start_with(store, run, endpoint, Path::new(""))
    }

    /// The same with zenoh settings (JSON5) from a file, such as TLS and access control; an empty path for none.
    pub fn start_with(
        store: &Store,
        run: &str,
        endpoint: &str,
        settings: &Path,
    ) -> Result<Self, WeightsError> {
        let session = link::listen(endpoint, settings)?;
        let queries = session
            .declare_queryable(link::key(run, "*"))
            .wait()
            .map_err(|error| link::failed("serve weights", endpoint, error))?;
        let bytes_served = Arc::<AtomicU64>::default();
        let worker =
            Worker { dir: store.dir().to_owned(), bytes_served: Arc::clone(&bytes_served) };
        let worker = std::thread::spawn(move || worker.run(&queries));
        Ok(Self { session, worker: Some(worker), bytes_served })
    }

    /// Bytes of weights sent so far.
    pub fn bytes_served(&self) -> u64 {
        self.bytes_served.load(Ordering::Relaxed)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = self.session.close().wait() {
            warn!(%error, "The weights server did not close cleanly.");
        }
        if self.worker.take().is_some_and(|worker| worker.join().is_err()) {
            warn!("The weights server ended in a panic.");
        }
    }
}

/// Reads files in a thread of its own, so that a slow disk never holds up the transport.
struct Worker {
    dir: PathBuf,
    bytes_served: Arc<AtomicU64>,
}

impl Worker {
    /// Answers until the session is closed.
    fn run(&self, queries: &Queryable<FifoChannelHandler<Query>>) {
        while let Ok(query) = queries.recv() {
            self.answer(&query);
        }
    }

    fn answer(&self, query: &Query) {
        let sent = match chunk(&self.dir, query) {
            Ok(bytes) => {
                self.bytes_served.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                query.reply(query.key_expr().clone(), bytes).wait()
            }
            Err(refusal) => query.reply_err(refusal).encoding(Encoding::TEXT_PLAIN).wait(),
        };
        if let Err(error) = sent {
            warn!(%error, key = %query.key_expr(), "A request for weights could not be answered.");
        }
    }
}

/// The piece of a file that a request asks for, or why there is none.
fn chunk(dir: &Path, query: &Query) -> Result<Vec<u8>, String> {
    let version = query.key_expr().as_str().rsplit('/').next().unwrap_or_default();
    let version: u64 = version
        .parse()
        .ok()
        .ok_or_else(|| format!("version should be a number, got {version:?}"))?;
    let offset = parameter(query, "offset")?;
    let len = parameter(query, "len")?.min(MAX_CHUNK_BYTES);
    let path = dir.join(file_name(version));
    let bytes =
        read(&path, offset, len).map_err(|error| format!("cannot read {path:?}: {error}"))?;
    if bytes.is_empty() {
        Err(format!("offset {offset} is past the end of {path:?}"))
    } else {
        Ok(bytes)
    }
}

fn parameter(query: &Query, name: &str) -> Result<u64, String> {
    let text = query.parameters().get(name).unwrap_or_default();
    text.parse().ok().ok_or_else(|| format!("{name} should be a number of bytes, got {text:?}"))
}

fn read(path: &Path, offset: u64, len: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    file.take(len).read_to_end(&mut bytes)?;
    Ok(bytes)
}
