//! The confidence term: sure where it hits, unsure where it does not.

use serde::{Deserialize, Serialize};

use super::{Evaluate, Norm, check_threshold};
use crate::answers::AnswerKind;
use crate::case::Case;
use crate::config::{AnswerConfig, ConfigError, ensure};

/// Confidence high on hits, low on the others.
///
/// With `c_i` the confidence of prediction i, which *hits* when the likeness to its true item is above the threshold:
///
/// | `miss` | value |
/// |---|---|
/// | `complement` | Σ (hit ? c_i : 1 - c_i) / norm, Visual-RFT (arXiv 2503.01785, equations 7 and 8) |
/// | `penalty` | max(0, Σ (hit ? c_i : -c_i) / norm) |
///
/// The paper's term pays 1 for boxes that are all wrong and have confidence 0; the other one pays nothing for a box
/// that does not hit, and takes from what the hits earned as much as the policy was sure of it, so that the best
/// confidence is still high where a hit is likely and 0 where it is not. It stops at 0: an attempt is never worse
/// than text that cannot be read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Confidence {
    /// What the sum is divided by.
    pub norm: Norm,
    /// Likeness above which a prediction hits.
    pub threshold: f64,
    /// What a confident miss costs.
    pub miss: Miss,
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

impl Default for Confidence {
    fn default() -> Self {
        Self { norm: Norm::Max, threshold: 0.5, miss: Miss::Penalty }
    }
}

impl Evaluate for Confidence {
    fn applies_to(kind: &AnswerKind) -> bool {
        matches!(kind, AnswerKind::Boxes(_))
    }

    fn check(&self, at: &str, answer: &AnswerConfig) -> Result<(), ConfigError> {
        ensure(answer.has_confidence(), &format!("{at}.metric"), "confidence", || {
            "a name for reward.answer.keys.confidence as well, or another metric".into()
        })?;
        check_threshold(self.threshold, at)
    }

    fn value(&self, case: &Case) -> f64 {
        if let Some(decided) = case.decided() {
            return decided;
        }
        let each = case.predicted().iter().zip(&case.matches).map(|(item, m)| {
            let confidence = item.confidence.unwrap_or(0.0);
            match (m.iou > self.threshold, self.miss) {
                (true, _) => confidence,
                (false, Miss::Complement) => 1.0 - confidence,
                (false, Miss::Penalty) => -confidence,
            }
        });
        let sum: f64 = each.sum();
        let mean = sum / self.norm.of(case).max(1) as f64;
        // A NaN stays one: such a completion cannot be scored.
        mean.clamp(0.0, 1.0)
    }
}
