//! `[data.frames]` and `[data.robot]`: pictures that are frames of videos, and the recordings of robots.

use serde::{Deserialize, Serialize};
use vrft_config::{ConfigError, require};

/// What is shown of a video.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FramesConfig {
    /// Frames of each second.
    pub rate: f64,
    /// Most frames of a video: a longer one is shown with larger pauses.
    pub max: usize,
    /// Say before each frame when it is, as `<3.0 seconds>`, the words that some models were trained with.
    pub times: bool,
}

/// How a folder of LeRobot (v2.1 or v3) becomes rows: a moment of an episode is a question about the pictures of its
/// cameras.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RobotConfig {
    /// Column with the true answer, as `action`; `task` for the words of the task. Needed for such a folder.
    pub truth: String,
    /// The question; `{task}` stands for the words of the episode's task.
    pub question: String,
    /// Cameras to show, by their names in `meta/info.json`, as `observation.images.top`; empty for all.
    pub cameras: Vec<String>,
    /// Seconds of an episode between two rows.
    pub every_secs: f64,
}

impl Default for FramesConfig {
    fn default() -> Self {
        Self { rate: 1.0, max: 16, times: true }
    }
}

impl Default for RobotConfig {
    fn default() -> Self {
        Self {
            truth: String::new(),
            question: "{task}".to_owned(),
            cameras: Vec::new(),
            every_secs: 1.0,
        }
    }
}

impl FramesConfig {
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let Self { rate, max, .. } = *self;
        require(
            rate > 0.0 && rate <= 1000.0,
            "data.frames.rate",
            rate,
            "above 0, up to 1000 a second",
        )?;
        require((1..=1024).contains(&max), "data.frames.max", max, "1 to 1024 frames")
    }
}

impl RobotConfig {
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let every = self.every_secs;
        let is_time = every >= 0.0 && every.is_finite();
        require(is_time, "data.robot.every_secs", every, "0 (every frame) or above")
    }
}

#[cfg(test)]
mod tests {
    use vrft_config::Document;

    use crate::DataConfig;

    #[test]
    fn impossible_values_are_refused_by_key() {
        for (line, key) in [
            ("[data.frames]\nrate = 0.0", "data.frames.rate"),
            ("[data.frames]\nmax = 0", "data.frames.max"),
            ("[data.robot]\nevery_secs = -1.0", "data.robot.every_secs"),
            ("[data.robot]\ntruths = \"action\"", ""),
        ] {
            let error = Document::parse(line, "test").unwrap().section::<DataConfig>().unwrap_err();
            assert!(error.to_string().contains(key), "{error}");
        }
    }
}
