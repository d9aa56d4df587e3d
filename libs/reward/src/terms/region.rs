//! The edges of regions.

use crate::config::TermConfig;

use super::overlap::over_pairs;
use super::shape::reward;
use crate::Place;
use crate::case::Case;

/// Σ boundary IoU / norm over the pairs.
pub(super) fn boundary(case: &Case, term: &TermConfig) -> f64 {
    over_pairs(case, term, |predicted, truth, _| match (&predicted.place, &truth.place) {
        (Place::Region(a), Place::Region(b)) => {
            reward(&term.shape, a.boundary_iou(b), case.attempt.progress)
        }
        _ => 0.0,
    })
}
