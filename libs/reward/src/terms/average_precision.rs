//! Average precision of one answer alone.

use serde::{Deserialize, Serialize};
use vrft_score::detection::{OVERLAPS, of_one_image};

use super::{Evaluate, check_threshold};
use crate::answers::AnswerKind;
use crate::case::Case;
use crate::config::{AnswerConfig, ConfigError};
use crate::{Item, Place, same_label};

/// COCO's average precision of this answer alone, all confidences equal, averaged over the true labels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AveragePrecision {
    /// The one overlap from which on a box is right; if left out, the mean over 0.5, 0.55, … 0.95.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// Whether predictions of labels that do not occur in the truth count; VLM-R1's program leaves them out.
    pub label: bool,
}

impl Default for AveragePrecision {
    fn default() -> Self {
        Self { threshold: None, label: true }
    }
}

impl Evaluate for AveragePrecision {
    fn applies_to(kind: &AnswerKind) -> bool {
        matches!(kind, AnswerKind::Boxes(_))
    }

    fn check(&self, at: &str, _answer: &AnswerConfig) -> Result<(), ConfigError> {
        self.threshold.map_or(Ok(()), |threshold| check_threshold(threshold, at))
    }

    fn value(&self, case: &Case) -> f64 {
        if let Some(decided) = case.decided() {
            return decided;
        }
        let mut labels: Vec<Option<&str>> = Vec::new();
        for item in case.true_items() {
            let label = item.label.as_deref();
            if !labels.iter().any(|known| is_same(*known, label)) {
                labels.push(label);
            }
        }
        let sum: f64 = labels.iter().map(|label| self.of_label(case, *label)).sum();
        let has_unknown = self.label && n_unknown(case, &labels) > 0;
        // A label that is not there has no precision at all, however often it is claimed.
        sum / (labels.len() + usize::from(has_unknown)) as f64
    }
}

impl AveragePrecision {
    fn of_label(&self, case: &Case, label: Option<&str>) -> f64 {
        let of_label = |item: &&Item| is_same(item.label.as_deref(), label);
        let truth = case.true_items().iter().filter(of_label).filter_map(bbox);
        let said = case.predicted().iter().filter(of_label).filter_map(bbox);
        let said: Vec<([f64; 4], f64)> = said.map(|bbox| (bbox, 1.0)).collect();
        let truth: Vec<[f64; 4]> = truth.collect();
        let overlaps = self.threshold.as_ref().map_or(&OVERLAPS[..], std::slice::from_ref);
        of_one_image(&said, &truth, overlaps).unwrap_or(0.0)
    }
}

/// Predictions of other labels than these, and those that are not valid.
fn n_unknown(case: &Case, labels: &[Option<&str>]) -> usize {
    let is_known = |item: &Item| labels.iter().any(|label| is_same(*label, item.label.as_deref()));
    let n_unknown = case.predicted().iter().filter(|item| !is_known(item)).count();
    n_unknown + case.n_predicted() - case.predicted().len()
}

fn is_same(a: Option<&str>, b: Option<&str>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => same_label(a, b),
        (a, b) => a == b,
    }
}

/// x, y, width, height.
fn bbox(item: &Item) -> Option<[f64; 4]> {
    match item.place {
        Place::Box(bbox) => Some([bbox.x1, bbox.y1, bbox.x2 - bbox.x1, bbox.y2 - bbox.y1]),
        _ => None,
    }
}
