//! What the sizes of images say about the coordinates on them.

use super::{Evidence, SpaceGuess};
use crate::geometry::{SPACE, Space};

/// Images whose sides are so much like 1000 pixels, by ratio, say nothing.
const ALIKE: f64 = 1.1;
/// Fewest answers to be sure by.
const MIN_ANSWERS: usize = 3;
/// A guess is doubtful where coordinates of the other space would look the same with a higher probability than this.
const MAX_CHANCE: f64 = 0.05;

/// The side of an image that a coordinate runs along.
pub(super) fn side(size: [u32; 2], idx: usize) -> f64 {
    f64::from(size[idx % 2].max(1))
}

/// What the sizes of the images say.
pub(super) struct Sizes {
    /// Answers whose image is known.
    n: usize,
    /// Geometric mean of the sides, over all coordinates.
    mean_side: f64,
    /// The greatest coordinate, and the greatest one as a share of its side.
    most: f64,
    farthest: f64,
    /// The first of the images.
    first: [u32; 2],
    /// How probable it is that coordinates of the other space, spread evenly, look like these.
    chance: f64,
    /// Answers that would reach beyond their image if their coordinates were thousandths, spread evenly.
    pub(super) expected_beyond: f64,
}

impl Sizes {
    pub(super) fn of(evidence: &[&Evidence]) -> Option<Self> {
        let known: Vec<(&Evidence, [u32; 2])> =
            evidence.iter().filter_map(|e| Some((*e, e.size?))).collect();
        let first = known.first()?.1;
        let (mut log_sum, mut n_coordinates, mut most, mut farthest) = (0.0, 0, 0.0f64, 0.0f64);
        for (evidence, size) in &known {
            for (idx, coordinate) in evidence.coordinates.iter().enumerate() {
                let side = side(*size, idx);
                log_sum += side.ln();
                n_coordinates += 1;
                most = most.max(*coordinate);
                farthest = farthest.max(coordinate / side);
            }
        }
        let shared = |side: f64| (side / SPACE).min(SPACE / side);
        let chance = known.iter().map(|(_, size)| shared(side(*size, 0)) * shared(side(*size, 1)));
        let within = |side: f64| (side / SPACE).min(1.0);
        let expected =
            known.iter().map(|(_, size)| 1.0 - within(side(*size, 0)) * within(side(*size, 1)));
        Some(Self {
            expected_beyond: expected.sum(),
            chance: chance.product(),
            n: known.len(),
            mean_side: (log_sum / f64::from(n_coordinates)).exp(),
            most,
            farthest,
            first,
        })
    }

    /// Where pixels and thousandths both hold all coordinates.
    pub(super) fn tightest(&self) -> SpaceGuess {
        let are_alike = (1.0 / ALIKE..=ALIKE).contains(&(self.mean_side / SPACE));
        let are_few = self.chance > MAX_CHANCE || self.n < MIN_ANSWERS;
        let is_doubtful = are_alike || are_few;
        let doubt = match (are_alike, are_few) {
            (true, _) => {
                "; the images are about 1000 pixels wide and high, so that the other would do as well"
            }
            (false, true) => "; so few answers may look like this by chance",
            (false, false) => "",
        };
        let [width, height] = self.first;
        let odd = Vec::new();
        if self.mean_side < SPACE {
            let reason = format!(
                "all coordinates lie within their images, of {width} × {height} pixels the first, and go up to {:.0}% of a \
                 side, where thousandths would go beyond{doubt}",
                100.0 * self.farthest
            );
            return SpaceGuess { space: Space::Pixels, reason, is_doubtful, odd };
        }
        let reason = format!(
            "no coordinate is above 1000, up to {}, though the images, of {width} × {height} pixels the first, are \
             larger{doubt}",
            self.most
        );
        SpaceGuess { space: Space::Thousandths, reason, is_doubtful, odd }
    }
}
