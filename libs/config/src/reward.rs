//! How completions are scored.

use serde::{Deserialize, Serialize};

/// The verifiable reward: a weighted sum of named terms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RewardConfig {
    /// Kind of answer to check.
    pub task: TaskKind,
    /// Whose equations.
    pub mode: RewardMode,
    /// How an IoU becomes a reward.
    pub iou: IouTerm,
    /// A predicted box matches when its IoU is above this.
    pub iou_threshold: f64,
    /// Weight of each term.
    pub weights: TermWeights,
}

/// Kind of answer that a task asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TaskKind {
    /// Boxes with a confidence each.
    Detection,
    /// One name.
    Classification,
}

/// Which definition of the terms applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RewardMode {
    /// The equations of Visual-RFT (arXiv 2503.01785), section 3.2: IoU averaged over the predicted boxes.
    Paper,
    /// Ours: IoU averaged over max(predicted, true), right "No Objects" rewarded.
    Fixed,
}

/// How the IoU of a matched pair becomes a reward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IouTerm {
    /// IoU above the threshold, else 0, as in the paper.
    Thresholded,
    /// IoU as it is: a signal also where the policy is weak.
    Smooth,
}

/// Weights of the terms; the paper adds them unweighted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TermWeights {
    /// Overlap of the predicted boxes with the true ones.
    pub iou: f64,
    /// Confidence high on boxes that match, low on the others.
    pub confidence: f64,
    /// Name equal to the true one.
    pub accuracy: f64,
    /// `<think>…</think><answer>…</answer>` and nothing else.
    pub format: f64,
}

impl Default for RewardConfig {
    fn default() -> Self {
        Self {
            task: TaskKind::Detection,
            mode: RewardMode::Fixed,
            iou: IouTerm::Thresholded,
            iou_threshold: 0.5,
            weights: TermWeights::default(),
        }
    }
}

impl Default for TermWeights {
    fn default() -> Self {
        Self { iou: 1.0, confidence: 1.0, accuracy: 1.0, format: 1.0 }
    }
}
