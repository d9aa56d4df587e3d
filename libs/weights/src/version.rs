//! A policy version: which weights, where they are, and how to tell that they arrived whole.

use std::path::Path;

use serde::{Deserialize, Serialize};

/// Weights that are ready to be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyVersion {
    /// Optimizer steps behind them; 0 is the policy that the run starts from.
    pub version: u64,
    /// The safetensors file, as the machine that wrote it names it.
    pub location: String,
    /// Size of the file.
    pub bytes: u64,
    /// XXH3 of the file, 32 hexadecimal digits.
    pub checksum: String,
}

impl PolicyVersion {
    /// Whether the file can be read from this machine; if not, a [`crate::Client`] pulls it.
    pub fn is_local(&self) -> bool {
        Path::new(&self.location).is_file()
    }
}

/// Name of the file of a version, in every folder that holds one.
pub(crate) fn file_name(version: u64) -> String {
    format!("v{version}.safetensors")
}

/// The version that a file name stands for; nothing for any other file.
pub(crate) fn parse_file_name(name: &str) -> Option<u64> {
    name.strip_prefix('v')?.strip_suffix(".safetensors")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_gives_its_version_back() {
        assert_eq!(parse_file_name(&file_name(41)), Some(41));
    }

    #[test]
    fn other_files_are_no_versions() {
        for name in ["v41.safetensors.tmp", "model.safetensors", "vx.safetensors", "v41"] {
            assert_eq!(parse_file_name(name), None, "{name}");
        }
    }
}
