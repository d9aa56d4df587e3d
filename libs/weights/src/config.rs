//! The section `[weights]`: how policy versions travel from the learner to the rollout.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use vrft_config::{ConfigError, Section, require};

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

impl Section for WeightsConfig {
    const NAME: &'static str = "weights";

    fn check(&self) -> Result<(), ConfigError> {
        require(
            !self.always_pull || !self.endpoint.is_empty(),
            "weights.always_pull",
            true,
            "false without a weights.endpoint to pull from",
        )
    }
}

#[cfg(test)]
mod tests {
    use vrft_config::Document;

    use super::*;

    #[test]
    fn what_is_always_pulled_is_pulled_from_somewhere() {
        let document = Document::parse("[weights]\nalways_pull = true", "test").unwrap();
        let error = document.section::<WeightsConfig>().unwrap_err().to_string();
        assert!(error.starts_with("weights.always_pull"), "{error}");
    }
}
