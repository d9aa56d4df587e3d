//! Where a node computes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A device by its name: `cpu`, `cuda` for the first GPU, `cuda:1` for the second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Device {
    /// The CPU with all of its cores.
    #[default]
    Cpu,
    /// An NVIDIA GPU by its number; the programs must be built with the feature `cuda`.
    Cuda(usize),
}

impl FromStr for Device {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let number = |digits: &str| digits.parse().ok().filter(|_| !digits.starts_with('+'));
        let device = match name {
            "cpu" => Some(Self::Cpu),
            "cuda" => Some(Self::Cuda(0)),
            _ => name.strip_prefix("cuda:").and_then(number).map(Self::Cuda),
        };
        device.ok_or_else(|| {
            format!("a device is \"cpu\", \"cuda\" or a GPU by number as \"cuda:1\", got {name:?}")
        })
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => write!(f, "cpu"),
            Self::Cuda(0) => write!(f, "cuda"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
        }
    }
}

impl TryFrom<String> for Device {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        name.parse()
    }
}

impl From<Device> for String {
    fn from(device: Device) -> Self {
        device.to_string()
    }
}

#[cfg(test)]
mod tests {
    use vrft_config::Document;

    use super::*;
    use crate::{LearnerConfig, RolloutConfig};

    #[track_caller]
    fn check(name: &str, device: Device) {
        assert_eq!(name.parse(), Ok(device));
        assert_eq!(device.to_string(), name);
    }

    #[test]
    fn devices_have_names() {
        check("cpu", Device::Cpu);
        check("cuda", Device::Cuda(0));
        check("cuda:3", Device::Cuda(3));
        assert_eq!("cuda:0".parse(), Ok(Device::Cuda(0)));
    }

    #[test]
    fn every_node_has_its_own() {
        let text = "[rollout]\ndevice = \"cuda\"\n[learner]\ndevice = \"cuda:1\"";
        let document = Document::parse(text, "test").unwrap();
        assert_eq!(document.section::<RolloutConfig>().unwrap().device, Device::Cuda(0));
        assert_eq!(document.section::<LearnerConfig>().unwrap().device, Device::Cuda(1));
    }

    #[test]
    fn another_name_is_refused_with_its_line() {
        for name in ["gpu", "cuda:", "cuda:one", "cuda:+1", "cuda:-1", "CPU"] {
            let text = format!("[rollout]\ndevice = {name:?}");
            let document = Document::parse(&text, "a.toml").unwrap();
            let error = document.section::<RolloutConfig>().unwrap_err().to_string();
            assert!(error.contains("line 2") && error.contains("\"cuda:1\", got"), "{error}");
        }
    }
}
