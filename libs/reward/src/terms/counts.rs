//! Terms of how many items were found, missed and invented.

use serde::{Deserialize, Serialize};

use super::{Evaluate, Shape, check_labels, check_threshold, has_items};
use crate::Item;
use crate::answers::AnswerKind;
use crate::case::Case;
use crate::config::{AnswerConfig, ConfigError};

/// Likeness that makes a hit where nothing else is declared.
const HIT: f64 = 0.5;

/// The share of the true items that are hit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recall {
    /// Likeness from which on a pair is a hit.
    pub threshold: f64,
    /// Pairs whose labels differ are no hits.
    pub label: bool,
    /// What changes when `reward.refine_after` of the training is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refined: Option<RefinedRecall>,
}

/// What changes of a [`Recall`] later in the training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefinedRecall {
    /// Replaces `threshold` of the matching, for this term.
    pub threshold: f64,
}

impl Default for Recall {
    fn default() -> Self {
        Self { threshold: HIT, label: false, refined: None }
    }
}

impl Evaluate for Recall {
    fn applies_to(kind: &AnswerKind) -> bool {
        has_items(kind)
    }

    fn check(&self, at: &str, answer: &AnswerConfig) -> Result<(), ConfigError> {
        check_labels(self.label, at, answer)?;
        check_threshold(self.threshold, at)?;
        let refined = self.refined.as_ref();
        refined.map_or(Ok(()), |r| check_threshold(r.threshold, &format!("{at}.refined")))
    }

    fn value(&self, case: &Case) -> f64 {
        let refined = self.refined.as_ref().filter(|_| case.is_refined());
        let threshold = refined.map_or(self.threshold, |refined| refined.threshold);
        let recall = || share(hits(case, threshold, self.label), case.true_items().len());
        case.decided().unwrap_or_else(recall)
    }
}

/// 1 - (share of true items missed + share of predictions that hit nothing) / 2.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Completeness {
    /// Likeness from which on a pair is a hit.
    pub threshold: f64,
    /// Pairs whose labels differ are no hits.
    pub label: bool,
}

impl Default for Completeness {
    fn default() -> Self {
        Self { threshold: HIT, label: false }
    }
}

impl Evaluate for Completeness {
    fn applies_to(kind: &AnswerKind) -> bool {
        has_items(kind)
    }

    fn check(&self, at: &str, answer: &AnswerConfig) -> Result<(), ConfigError> {
        check_labels(self.label, at, answer)?;
        check_threshold(self.threshold, at)
    }

    fn value(&self, case: &Case) -> f64 {
        case.decided().unwrap_or_else(|| {
            let found = hits(case, self.threshold, self.label);
            (share(found, case.true_items().len()) + share(found, case.n_predicted())) / 2.0
        })
    }
}

/// 1 - |n - m| / max(n, m) for n predictions of m true items.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Count {
    /// How nearness becomes reward.
    pub shape: Shape,
}

impl Evaluate for Count {
    fn applies_to(kind: &AnswerKind) -> bool {
        has_items(kind)
    }

    fn check(&self, at: &str, _answer: &AnswerConfig) -> Result<(), ConfigError> {
        self.shape.check(at)
    }

    fn value(&self, case: &Case) -> f64 {
        let n = case.n_predicted();
        let m = case.true_items().len();
        let near = || 1.0 - n.abs_diff(m) as f64 / n.max(m) as f64;
        case.decided().unwrap_or_else(|| self.shape.reward(near(), case.attempt.progress))
    }
}

/// min(1, m / n): 1 unless there are more predictions than true items (VLM-R1's factor against dumping boxes).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Brevity {}

impl Evaluate for Brevity {
    fn applies_to(kind: &AnswerKind) -> bool {
        has_items(kind)
    }

    fn value(&self, case: &Case) -> f64 {
        let most = || (case.true_items().len() as f64 / case.n_predicted() as f64).min(1.0);
        case.decided().unwrap_or_else(most)
    }
}

/// Number of pairs that are at least so much alike, and have the same label where that counts.
fn hits(case: &Case, threshold: f64, label: bool) -> usize {
    let hit = |&(p, t, likeness): &(&Item, &Item, f64)| {
        likeness >= threshold && (!label || p.has_label_of(t))
    };
    case.pairs().filter(hit).count()
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}
