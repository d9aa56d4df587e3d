//! One term of a reward, and how predicted items find the true ones.

use serde::{Deserialize, Serialize};

/// Which predicted item is compared with which true one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MatchConfig {
    /// Who chooses whom.
    pub by: MatchBy,
    /// How alike two items are.
    pub measure: Measure,
    /// Items are paired only if they are more alike than this.
    pub threshold: f64,
    /// Items are paired only if their labels are the same.
    pub label: bool,
    /// Distance at which points have nothing in common any more, as a share of the space, for `l1`.
    pub scale: f64,
    /// What becomes of items that repeat an earlier one to the digit.
    pub repeats: Repeats,
}

/// Who chooses whom.
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
    /// They are predictions like any other.
    Count,
    /// The first one stands for all.
    Drop,
}

/// One term: a number made of answer and truth, its weight, and what bends it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TermConfig {
    /// What is measured.
    pub metric: Metric,
    /// What it is multiplied with in the sum.
    #[serde(default = "one")]
    pub weight: f64,
    /// Name of another term that this one is multiplied with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<String>,
    /// How likeness becomes reward.
    #[serde(default)]
    pub shape: Shape,
    /// What a sum over pairs is divided by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub norm: Option<Norm>,
    /// Pairs whose labels differ earn nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<bool>,
    /// Likeness that makes a pair a hit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// What changes when `reward.refine_after` of the training is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refined: Option<Refined>,
    /// What a confident miss costs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub miss: Option<Miss>,
    /// When two names or texts are the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub same: Option<Same>,
    /// Pay in full if the first numbers agree, as Visual-RFT's program does by mistake.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shortcut: Option<bool>,
    /// Error that is one unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<f64>,
    /// Name of the term that says whether the answer is right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
    /// Longest completion, in tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<usize>,
    /// Tokens before `tokens` over which the penalty grows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margin: Option<usize>,
    /// Words that are compared together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ngram: Option<usize>,
    /// Most negative value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub penalty: Option<f64>,
    /// Value of a right answer at the greatest length and at length 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub right: Option<[f64; 2]>,
    /// Value of a wrong answer at length 0 and at the greatest length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wrong: Option<[f64; 2]>,
}

/// What is measured. Unless said otherwise a value lies between 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Σ likeness over pairs, divided by `norm`.
    Overlap,
    /// Share of the true items that are hit.
    Recall,
    /// Confidence high on hits, low on the others.
    Confidence,
    /// Share of pairs with the right label.
    Label,
    /// Nearness of the number of items: 1 - |n - m| / max(n, m).
    Count,
    /// min(1, m / n) for n predictions of m true items.
    Brevity,
    /// 1 - (share missed + share invented) / 2.
    Completeness,
    /// COCO's average precision of this one answer, all confidences equal; at `threshold`, or over ten.
    AveragePrecision,
    /// IoU of the edges of the regions, a fiftieth of the diagonal wide.
    Boundary,
    /// Cosine of the difference in turn, from 0 to 1, averaged as the overlap.
    Yaw,
    /// Higher-order tracking accuracy (arXiv 2009.07736).
    Hota,
    /// Likeness of the item that is meant, if the right one is.
    Target,
    /// 1 if the answer is the true one.
    Accuracy,
    /// 1 - |error| / `scale`, not below 0.
    Closeness,
    /// 1 - |ln(predicted / true)| / ln(`scale`), not below 0.
    Ratio,
    /// Share of the places of a permutation that are right.
    Tiles,
    /// 1 - edit distance / longer length.
    Similarity,
    /// 1 if the completion has the declared form.
    Format,
    /// 1 if the completion opens with its thinking and closes it once, as in TRL.
    ThinkFormat,
    /// Right answers earn more when short, wrong ones when long, along half a cosine.
    Cosine,
    /// Share of repeated word groups times `penalty`, which is negative.
    Repetition,
    /// 0 up to `tokens` - `margin`, then falling to -1 at `tokens`.
    Overlong,
    /// Share of the checkable statements in the thinking that are true.
    Claims,
    /// 1 if the number claimed in the thinking is the number of items in the answer.
    Consistency,
    /// 1 if the last sentence of the thinking repeats the answer.
    Restated,
}

/// How likeness, from 0 to 1, becomes reward.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shape {
    /// As it is.
    #[default]
    Linear,
    /// Its power α.
    Power(f64),
    /// 0 below the first, 1 from the second on, as it is between.
    Ramp([f64; 2]),
    /// 1 from this on, else 0.
    Step(f64),
    /// Plus this, for pairs.
    Shift(f64),
    /// A mirrored sigmoid of the squared error that sharpens during training.
    Snra(Snra),
}

/// 2 / (1 + exp(k e²)), k = k0 + (k1 - k0) σ(steep (t - tau)) at share t of the training.
///
/// An approximation of the SNRA of AP-GRPO (arXiv 2601.07695): the paper's text was not available.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Snra {
    /// Sharpness at the start.
    pub k0: f64,
    /// Sharpness in the end.
    pub k1: f64,
    /// Share of the training at which it is half way.
    pub tau: f64,
    /// How abruptly it changes.
    pub steep: f64,
}

/// What a sum over pairs is divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Norm {
    /// Number of predictions.
    Predicted,
    /// Number of true items.
    Truth,
    /// The greater of both: a missed item costs as much as an invented one.
    Max,
    /// Number of pairs.
    Matched,
}

/// What a prediction with confidence c that hits nothing adds to the confidence term.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Miss {
    /// 1 - c (Visual-RFT), which pays for boxes that are all wrong.
    Complement,
    /// -c, and the sum stops at 0.
    Penalty,
}

/// When two names or texts are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Same {
    /// Equal but for case, white space, `_`, and quotes or full stops around them.
    Normalized,
    /// Equal to the letter.
    Exact,
    /// One contains the other, without white space and `_` (Visual-RFT's program).
    Contains,
}

/// What changes later in the training.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Refined {
    /// Replaces `threshold`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// Replaces `shape`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shape: Option<Shape>,
}

impl TermConfig {
    /// A term of weight 1.
    pub fn new(metric: Metric) -> Self {
        Self {
            metric,
            weight: 1.0,
            gate: None,
            shape: Shape::Linear,
            norm: None,
            label: None,
            threshold: None,
            refined: None,
            miss: None,
            same: None,
            shortcut: None,
            scale: None,
            of: None,
            tokens: None,
            margin: None,
            ngram: None,
            penalty: None,
            right: None,
            wrong: None,
        }
    }
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

impl Default for Snra {
    fn default() -> Self {
        Self { k0: 1.0, k1: 15.0, tau: 0.6, steep: 8.0 }
    }
}

fn one() -> f64 {
    1.0
}
