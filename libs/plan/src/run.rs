//! The section `[run]`: name, seed and folder.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use vrft_config::Section;

/// What identifies a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunConfig {
    /// Shown in the report and in the name of the run folder.
    pub name: String,
    /// Everything random derives from this: order of the data, shots, sampling.
    pub seed: u64,
    /// Run folders are made in here.
    pub out: PathBuf,
    /// Continue from the newest intact checkpoint of the run folder.
    pub resume: bool,
}

impl Section for RunConfig {
    const NAME: &'static str = "run";
}

impl Default for RunConfig {
    fn default() -> Self {
        Self { name: "vrft".into(), seed: 0, out: "out".into(), resume: false }
    }
}
