//! The section `[run]`: name, seed and folder.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use vrft_config::{ConfigError, Section, require};

/// Bytes of a run's name, which its folder has with a time behind it.
const MAX_NAME: usize = 200;

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

    fn check(&self) -> Result<(), ConfigError> {
        let is_name = |c: char| !['/', '\\'].contains(&c) && !c.is_control();
        require(
            self.name.len() <= MAX_NAME && self.name.chars().all(is_name),
            "run.name",
            format!("{:?}", self.name),
            format!(
                "without slashes and control characters, at most {MAX_NAME} bytes: the run's folder is named by it, and it is shown"
            ),
        )
    }
}

impl Default for RunConfig {
    fn default() -> Self {
        Self { name: "vrft".into(), seed: 0, out: "out".into(), resume: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_no_path() {
        let check = |name: &str| {
            let config = RunConfig { name: name.to_owned(), ..RunConfig::default() };
            config.check().map_err(|error| error.to_string())
        };
        assert_eq!(check("mugs, second try (\u{fc})"), Ok(()));
        for name in ["../evil", "a/b", "a\\b", "a\u{1b}[31m", "a\nb", &"a".repeat(300)] {
            assert!(check(name).unwrap_err().contains("run.name"), "{name}");
        }
    }
}
