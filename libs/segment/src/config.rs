//! The section `[segment]`: which SAM makes masks of boxes, and which of its masks is taken.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use vrft_config::{ConfigError, Section, require};

/// For graphs with the node `vrft-segment`, and for `vrft segment`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SegmentConfig {
    /// A SAM: a folder in transformers' layout (`SamModel`), a model of the Hugging Face hub such as `facebook/sam-vit-base`,
    /// or a safetensors file with the names of the authors' program.
    pub model: PathBuf,
    /// Whether SAM proposes three masks for each box, of which the one is taken that it thinks best. Otherwise it gives the one
    /// mask that it has for prompts which leave no doubt, as its authors advise for boxes.
    pub best_of_three: bool,
}

impl Default for SegmentConfig {
    fn default() -> Self {
        Self { model: "facebook/sam-vit-base".into(), best_of_three: false }
    }
}

impl Section for SegmentConfig {
    const NAME: &'static str = "segment";

    fn check(&self) -> Result<(), ConfigError> {
        let model = self.model.display();
        require(
            !self.model.as_os_str().is_empty(),
            "segment.model",
            model,
            "a folder, a file or a model of the hub",
        )
    }
}
