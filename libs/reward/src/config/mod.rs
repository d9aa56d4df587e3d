//! The section `[reward]`, and the rewards of the sources of the data: how completions are scored. One declaration per
//! task, from which prompt, reader, reward and metric follow.

mod answer;
mod check;
mod declare;
mod matching;
pub(crate) mod parts;
mod sources;

pub use answer::{AnswerConfig, Content, FormatConfig, From, Reader};
pub(crate) use check::{absent, ensure};
pub use matching::{MatchBy, MatchConfig, Measure, Repeats};
pub use sources::RewardsConfig;
pub(crate) use vrft_config::ConfigError;

pub use crate::answers::AnswerKind;
pub use crate::terms::{Metric, Same, TermConfig};

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use toml::Table;

use crate::terms::{Confidence, Format, Overlap};

/// A task: what an answer looks like, how it is compared with the truth, and what that is worth.
///
/// The reward of a completion is Σ weight · value over the terms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RewardConfig {
    /// Name of the task; it travels with every prompt.
    pub task: String,
    /// Which rules apply; each mode but `fixed` is a table of differences under `modes`.
    pub mode: RewardMode,
    /// Share of the training after which the `refined` values of the terms apply; 1 for never.
    pub refine_after: f64,
    /// What an answer looks like.
    pub answer: AnswerConfig,
    /// Which predicted item is compared with which true one.
    #[serde(rename = "match")]
    pub matching: MatchConfig,
    /// What must stand around the answer.
    pub format: FormatConfig,
    /// The second try that a completion is given; without it there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correction: Option<CorrectionConfig>,
    /// The terms of the sum, by name.
    #[serde(deserialize_with = "crate::terms::deserialize")]
    pub terms: BTreeMap<String, TermConfig>,
    /// What is different in a mode: any keys of this section, laid over it when the mode is chosen.
    #[serde(skip_serializing_if = "Table::is_empty")]
    pub modes: Table,
}

impl RewardConfig {
    /// Whether terms have keys that change later in the training, and training gets there.
    pub fn has_refined(&self) -> bool {
        let refined = |term: &TermConfig| match &term.metric {
            Metric::Overlap(overlap) => overlap.refined.is_some(),
            Metric::Recall(recall) => recall.refined.is_some(),
            _ => false,
        };
        self.refine_after < 1.0 && self.terms.values().any(refined)
    }

    /// Whether the later keys apply when this share of the training is done.
    pub fn is_refined_at(&self, progress: f64) -> bool {
        self.has_refined() && progress >= self.refine_after
    }
}

/// Which definition of the terms applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RewardMode {
    /// The equations of the paper, to compare with. By their nature they pay for some tricks.
    Paper,
    /// The program that the paper's numbers were made with, its bugs included, to compare with.
    Compat,
    /// Ours, to train with: without the loopholes of either.
    Fixed,
}

impl RewardMode {
    /// The name in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            RewardMode::Paper => "paper",
            RewardMode::Compat => "compat",
            RewardMode::Fixed => "fixed",
        }
    }

    /// What it is for, if not for training: equations and programs leave holes that a policy finds.
    pub fn purpose(self) -> Option<&'static str> {
        match self {
            RewardMode::Paper => {
                Some("the published equations, to compare with; train in mode fixed")
            }
            RewardMode::Compat => {
                Some("the published program, bugs included, to compare with; train in mode fixed")
            }
            RewardMode::Fixed => None,
        }
    }
}

/// Rewards of an answer that is asked for twice: r1, then `question`, then r2.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CorrectionConfig {
    /// Whose the first answer is.
    pub first: FirstAnswer,
    /// What is said between the two answers.
    pub question: String,
    /// The second answer earns r2 + α (r2 - r1), within -1 and 2 times the most that one answer can earn.
    pub alpha: f64,
    /// The first answer earns r1 + γ r2.
    pub gamma: f64,
}

/// Whose the answer is that is to be corrected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FirstAnswer {
    /// The data's, under `first`: the policy learns to correct alone.
    Data,
    /// The policy's own, in the same completion: both turns are learned, each by what it earned.
    Policy,
}

impl Default for CorrectionConfig {
    fn default() -> Self {
        let question = "Check your answer and correct it if needed.".to_owned();
        Self { first: FirstAnswer::Data, question, alpha: 1.0, gamma: 0.5 }
    }
}

impl Default for RewardConfig {
    /// Detection as in Visual-RFT, without its loopholes; `configs/rewards/visual-rft/detection.toml` says the same.
    fn default() -> Self {
        let terms = [
            Metric::Confidence(Confidence::default()),
            Metric::Format(Format {}),
            Metric::Overlap(Overlap::default()),
        ];
        let names = ["confidence", "format", "iou"].map(str::to_owned);
        Self {
            task: "detection".into(),
            mode: RewardMode::Fixed,
            refine_after: 1.0,
            answer: AnswerConfig::visual_rft(),
            matching: MatchConfig::default(),
            format: FormatConfig::default(),
            correction: None,
            terms: names.into_iter().zip(terms.map(TermConfig::of)).collect(),
            modes: Table::new(),
        }
    }
}
