//! The section `[rollout]`: how completions are sampled.

use serde::{Deserialize, Serialize};

use vrft_config::{ConfigError, Section, require};

use crate::Device;

/// How groups of completions are sampled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RolloutConfig {
    /// Completions per prompt. At least 2: alone, a completion has no siblings to be better than.
    pub group_size: usize,
    /// Softmax temperature; logprobs are of the distribution that was sampled from.
    pub temperature: f64,
    /// Keep the smallest set of tokens whose probability reaches this; 1 keeps all.
    pub top_p: f64,
    /// Number of most probable tokens to sample from; 0 keeps all.
    pub top_k: usize,
    /// A completion is cut here and counts as truncated.
    pub max_completion_tokens: usize,
    /// Texts that end a completion, besides the end-of-turn token.
    pub stop: Vec<String>,
    /// Completions decoded at once, as far as whole groups allow; as some finish, the next prompt joins. Bounds the
    /// memory of keys and values where a step has many prompts.
    pub max_rows: usize,
    /// Where the rollouts compute.
    pub device: Device,
}

impl Section for RolloutConfig {
    const NAME: &'static str = "rollout";

    fn check(&self) -> Result<(), ConfigError> {
        require(
            self.group_size >= 2,
            "rollout.group_size",
            self.group_size,
            "at least 2, since a completion is judged against its siblings",
        )?;
        require(
            self.temperature > 0.0 && self.temperature.is_finite(),
            "rollout.temperature",
            self.temperature,
            "above 0, since equal completions carry no signal",
        )?;
        require(self.top_p > 0.0 && self.top_p <= 1.0, "rollout.top_p", self.top_p, "in (0, 1]")?;
        require(self.max_completion_tokens > 0, "rollout.max_completion_tokens", 0, "at least 1")
    }
}

impl Default for RolloutConfig {
    fn default() -> Self {
        Self {
            group_size: 8,
            temperature: 1.0,
            top_p: 1.0,
            top_k: 0,
            max_completion_tokens: 256,
            stop: vec!["</answer>".into()],
            max_rows: 128,
            device: Device::Cpu,
        }
    }
}

#[cfg(test)]
mod tests {
    use vrft_config::Document;

    use super::*;

    #[test]
    fn impossible_values_are_refused_by_key() {
        RolloutConfig::default().check().unwrap();
        for (text, key) in [
            ("group_size = 1", "rollout.group_size"),
            ("temperature = 0.0", "rollout.temperature"),
            ("top_p = 1.5", "rollout.top_p"),
            ("max_completion_tokens = 0", "rollout.max_completion_tokens"),
        ] {
            let document = Document::parse(&format!("[rollout]\n{text}"), "test").unwrap();
            let error = document.section::<RolloutConfig>().unwrap_err().to_string();
            assert!(error.starts_with(key), "{error}");
        }
    }
}
