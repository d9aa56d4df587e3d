//! The confidence term: sure where it hits, unsure where it does not.
//!
//! With `c_i` the confidence of prediction i, which *hits* when the likeness to its true item is above the threshold:
//!
//! | `miss` | value |
//! |---|---|
//! | `complement` | Σ (hit ? c_i : 1 - c_i) / norm, Visual-RFT (arXiv 2503.01785, equations 7 and 8) |
//! | `penalty` | max(0, Σ (hit ? c_i : -c_i) / norm) |
//!
//! The paper's term pays 1 for boxes that are all wrong and have confidence 0; the other one pays nothing for a box
//! that does not hit, and takes from what the hits earned as much as the policy was sure of it, so that the best
//! confidence is still high where a hit is likely and 0 where it is not. It stops at 0: an attempt is never worse
//! than text that cannot be read.

use crate::config::{Miss, TermConfig};

use super::overlap::norm;
use crate::case::Case;

/// Likeness above which a prediction hits where nothing else is declared.
const HIT: f64 = 0.5;

pub(super) fn confidence(case: &Case, term: &TermConfig) -> f64 {
    if let Some(settled) = case.settled() {
        return settled;
    }
    let threshold = term.threshold.unwrap_or(HIT);
    let each = case.predicted().iter().zip(&case.matches).map(|(item, m)| {
        let confidence = item.confidence.unwrap_or(0.0);
        match (m.iou > threshold, term.miss.unwrap_or(Miss::Penalty)) {
            (true, _) => confidence,
            (false, Miss::Complement) => 1.0 - confidence,
            (false, Miss::Penalty) => -confidence,
        }
    });
    let sum: f64 = each.sum();
    let mean = sum / norm(case, term.norm).max(1) as f64;
    // A NaN stays one: such a completion cannot be scored.
    mean.clamp(0.0, 1.0)
}
