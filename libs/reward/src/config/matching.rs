//! How predicted items find the true ones.

use serde::{Deserialize, Serialize};

/// Which predicted item is compared with which true one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MatchConfig {
    /// How predicted items are paired with true ones.
    pub by: MatchBy,
    /// How alike two items are.
    pub measure: Measure,
    /// Items are paired only if they are more alike than this; -1 pairs all where they are paired in their order.
    pub threshold: f64,
    /// Items are paired only if their labels are the same.
    pub label: bool,
    /// Distance at which points have nothing in common any more, for `l1`: as a share of the space, in pixels where that is
    /// pixels.
    pub scale: f64,
    /// What becomes of items that repeat an earlier one to the digit.
    pub repeats: Repeats,
}

/// How predicted items are paired with true ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MatchBy {
    /// The k-th with the k-th.
    None,
    /// From the most confident prediction down, each takes the free true item that is most like it.
    GreedyConfidence,
    /// From the most alike pair down.
    GreedyIou,
    /// The pairing with the greatest sum.
    Hungarian,
}

/// How alike two items are. Only boxes have more than `iou` and `l1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Measure {
    /// Intersection over union.
    Iou,
    /// Generalized IoU, -1 to 1 (arXiv 1902.09630).
    Giou,
    /// Distance IoU, -1 to 1 (arXiv 1911.08287).
    Diou,
    /// Complete IoU (arXiv 1911.08287).
    Ciou,
    /// 1 less the mean distance of the coordinates, in units of `scale`; 0 beyond.
    L1,
}

/// What becomes of repeated items.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Repeats {
    /// Repeated predictions count like any others.
    Count,
    /// The first one stands for all.
    Drop,
}

impl Default for MatchConfig {
    fn default() -> Self {
        Self {
            by: MatchBy::GreedyConfidence,
            measure: Measure::Iou,
            threshold: 0.5,
            label: false,
            scale: 1.0,
            repeats: Repeats::Count,
        }
    }
}
