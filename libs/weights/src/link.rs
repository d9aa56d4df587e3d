//! The link between a learner and the rollouts on other machines: one endpoint, TCP or TLS, no discovery.

use std::path::Path;

use zenoh::{Config, Session, Wait};

use crate::WeightsError;

/// Where a learner serves weights unless told otherwise: reachable from its own machine alone.
pub const DEFAULT_ENDPOINT: &str = "tcp/127.0.0.1:7547";

/// Largest piece of a file in one reply.
pub(crate) const MAX_CHUNK_BYTES: u64 = 8 << 20;

/// The key under which a version of a run is served.
pub(crate) fn key(run: &str, version: impl std::fmt::Display) -> String {
    format!("vrft/weights/{run}/{version}")
}

/// Opens the learner's end.
pub(crate) fn listen(endpoint: &str, settings: &Path) -> Result<Session, WeightsError> {
    open(settings, "peer", &[("listen/endpoints", endpoints(endpoint))], "listen", endpoint)
}

/// Opens the other end; waits up to ten seconds for the learner to be there, and reconnects automatically.
pub(crate) fn connect(endpoint: &str, settings: &Path) -> Result<Session, WeightsError> {
    let always =
        [("connect/endpoints", endpoints(endpoint)), ("connect/timeout_ms", "10000".to_owned())];
    open(settings, "client", &always, "connect", endpoint)
}

/// `file` holds zenoh settings of the user's own, such as TLS and access control; empty for none.
fn open(
    file: &Path,
    mode: &str,
    settings: &[(&str, String)],
    action: &'static str,
    endpoint: &str,
) -> Result<Session, WeightsError> {
    let failed = |error: zenoh::Error| failed(action, endpoint, error);
    let mut config = if file.as_os_str().is_empty() {
        Config::default()
    } else {
        Config::from_file(file).map_err(|error| WeightsError::Link {
            action,
            endpoint: endpoint.to_owned(),
            message: format!("zenoh settings {file:?}: {error}"),
        })?
    };
    let always = [
        ("mode", format!("{mode:?}")),
        ("scouting/multicast/enabled", "false".to_owned()),
        ("scouting/gossip/enabled", "false".to_owned()),
    ];
    for (key, value) in always.iter().chain(settings) {
        config.insert_json5(key, value).map_err(failed)?;
    }
    zenoh::open(config).wait().map_err(failed)
}

/// An error of the transport, with what was tried and where.
pub(crate) fn failed(action: &'static str, endpoint: &str, error: zenoh::Error) -> WeightsError {
    WeightsError::Link { action, endpoint: endpoint.to_owned(), message: error.to_string() }
}

fn endpoints(endpoint: &str) -> String {
    format!("[{endpoint:?}]")
}
