//! The turn of boxes in space.

use crate::config::TermConfig;

use super::overlap::over_pairs;
use crate::Place;
use crate::case::Case;

/// Σ (1 + cos of the difference in yaw) / 2 / norm over the pairs.
pub(super) fn yaw(case: &Case, term: &TermConfig) -> f64 {
    over_pairs(case, term, |predicted, truth, _| match (&predicted.place, &truth.place) {
        (Place::Solid(a), Place::Solid(b)) => a.same_yaw(b),
        _ => 0.0,
    })
}
