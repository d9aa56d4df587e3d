//! How policy versions travel from the learner to the rollout.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Transport of weights between machines.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WeightsConfig {
    /// zenoh endpoint at which the learner serves policy versions, as in `tcp/127.0.0.1:7547`; empty when the
    /// rollout sees the learner's disk, and then nothing listens.
    pub endpoint: String,
    /// Pull a version through the endpoint even where its file can be read.
    pub always_pull: bool,
    /// A zenoh configuration (JSON5) for the endpoint, for TLS and access control; empty for none.
    pub zenoh: PathBuf,
}
