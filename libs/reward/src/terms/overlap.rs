//! What pairs of items are worth.
//!
//! With n predictions, m true items and `u_i` the likeness of pair i; a prediction that is not valid counts in n and
//! is in no pair. Dividing by max(n, m) makes each missed item cost as much as each invented one; by n alone, one
//! safe box out of ten earns everything.

use serde::{Deserialize, Serialize};

use super::{Evaluate, Shape, check_labels, has_items};
use crate::answers::AnswerKind;
use crate::case::Case;
use crate::config::{AnswerConfig, ConfigError};
use crate::geometry::Geometry;
use crate::{Item, Place};

/// Σ shape(u_i) / norm.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Overlap {
    /// What the sum is divided by.
    pub norm: Norm,
    /// Pairs whose labels differ earn nothing.
    pub label: bool,
    /// How likeness becomes reward.
    pub shape: Shape,
    /// What changes when `reward.refine_after` of the training is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refined: Option<RefinedOverlap>,
}

/// What changes of an [`Overlap`] later in the training.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefinedOverlap {
    /// Replaces `shape`.
    pub shape: Shape,
}

/// What a sum over pairs is divided by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Norm {
    /// The sum is divided by the number of predictions.
    Predicted,
    /// Number of true items.
    Truth,
    /// The greater of both: a missed item costs as much as an invented one.
    #[default]
    Max,
    /// The sum is divided by the number of pairs.
    Matched,
}

impl Norm {
    /// The number that it stands for.
    pub(super) fn of(self, case: &Case) -> usize {
        let n = case.n_predicted();
        let m = case.true_items().len();
        match self {
            Norm::Predicted => n,
            Norm::Truth => m,
            Norm::Max => n.max(m),
            Norm::Matched => case.pairs().count(),
        }
    }
}

impl Evaluate for Overlap {
    fn applies_to(kind: &AnswerKind) -> bool {
        has_items(kind)
    }

    fn check(&self, at: &str, answer: &AnswerConfig) -> Result<(), ConfigError> {
        check_labels(self.label, at, answer)?;
        let refined = self.refined.as_ref().map(|refined| &refined.shape);
        [Some(&self.shape), refined].into_iter().flatten().try_for_each(|shape| shape.check(at))
    }

    fn value(&self, case: &Case) -> f64 {
        let refined = self.refined.as_ref().filter(|_| case.is_refined());
        let shape = refined.map_or(&self.shape, |refined| &refined.shape);
        // Whatever is added to likeness is the limit itself, and beyond it goes what Visual-RFT's program reads.
        let most = if let Shape::Shift(_) = shape { f64::INFINITY } else { 1.0 };
        over_pairs(case, self.norm, most, |predicted, truth, likeness| {
            if self.label && !predicted.has_label_of(truth) {
                0.0
            } else {
                shape.reward(likeness, case.attempt.progress)
            }
        })
    }

    fn range(&self) -> (f64, f64) {
        match self.shape {
            Shape::Shift(by) => (0.0, 1.0 + by),
            _ => (0.0, 1.0),
        }
    }
}

/// The share of pairs with the right label.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Label {
    /// What the number of such pairs is divided by.
    pub norm: Norm,
}

impl Evaluate for Label {
    fn applies_to(kind: &AnswerKind) -> bool {
        has_items(kind)
    }

    fn check(&self, at: &str, answer: &AnswerConfig) -> Result<(), ConfigError> {
        check_labels(true, at, answer)
    }

    fn value(&self, case: &Case) -> f64 {
        over_pairs(case, self.norm, 1.0, |predicted, truth, _| {
            f64::from(u8::from(predicted.has_label_of(truth)))
        })
    }
}

/// Σ boundary IoU / norm.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Boundary {
    /// What the sum is divided by.
    pub norm: Norm,
    /// How likeness of the edges becomes reward.
    pub shape: Shape,
}

impl Evaluate for Boundary {
    fn applies_to(kind: &AnswerKind) -> bool {
        kind.geometry() == Some(Geometry::Region)
    }

    fn check(&self, at: &str, _answer: &AnswerConfig) -> Result<(), ConfigError> {
        self.shape.check(at)
    }

    fn value(&self, case: &Case) -> f64 {
        over_pairs(case, self.norm, 1.0, |predicted, truth, _| {
            match (&predicted.place, &truth.place) {
                (Place::Region(a), Place::Region(b)) => {
                    self.shape.reward(a.boundary_iou(b), case.attempt.progress)
                }
                _ => 0.0,
            }
        })
    }
}

/// Σ (1 + cos of the difference in yaw) / 2 / norm.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Yaw {
    /// What the sum is divided by.
    pub norm: Norm,
}

impl Evaluate for Yaw {
    fn applies_to(kind: &AnswerKind) -> bool {
        kind.geometry() == Some(Geometry::Solid)
    }

    fn value(&self, case: &Case) -> f64 {
        over_pairs(case, self.norm, 1.0, |predicted, truth, _| {
            match (&predicted.place, &truth.place) {
                (Place::Solid(a), Place::Solid(b)) => a.same_yaw(b),
                _ => 0.0,
            }
        })
    }
}

/// Σ value / norm over the pairs, at most `most`.
pub(super) fn over_pairs(
    case: &Case,
    norm: Norm,
    most: f64,
    value: impl Fn(&Item, &Item, f64) -> f64,
) -> f64 {
    if let Some(decided) = case.decided() {
        return decided;
    }
    // A sum of nothing is a negative zero.
    let sum = case.pairs().map(|(p, t, likeness)| value(p, t, likeness)).sum::<f64>() + 0.0;
    let divisor = norm.of(case);
    if divisor == 0 { 0.0 } else { (sum / divisor as f64).min(most) }
}
