//! Coordinates that end at 100 on images that are much larger: percent of the sides.

use std::collections::BTreeSet;

use super::sizes::side;
use super::{Evidence, SpaceGuess, are_few};
use crate::geometry::{PERCENT, Space};

/// Coordinates that are spread over the sides go beyond this: where all are smaller, they tell nothing.
const MIN_REACH: f64 = 50.0;
/// Fewest answers to think of percent by, and to be sure by.
const MIN_ANSWERS: usize = 3;
const MIN_SURE: usize = 8;
/// Percent is not thought of where pixels that are spread evenly would look the same with a higher probability than this.
const MAX_CHANCE: f64 = 0.05;
/// Images of fewer pixels a side, by their mean, are too small to be sure.
const MIN_SIDE: f64 = 2.0 * PERCENT;

/// Percent of the sides, if that is what the answers at these places look like; `None` if they do not, or if the sizes of
/// the images are not known.
pub(super) fn guess(evidence: &[Evidence], places: &[usize]) -> Option<SpaceGuess> {
    let is_within = |idx: &usize| evidence[*idx].coordinates.iter().all(|v| *v <= PERCENT);
    let (within, odd): (Vec<usize>, Vec<usize>) = places.iter().partition(|idx| is_within(idx));
    let n = places.len();
    if n < MIN_ANSWERS || !are_few(odd.len(), n) {
        return None;
    }
    let all = || within.iter().map(|idx| &evidence[*idx]);
    let sizes: Vec<[u32; 2]> = all().map(|one| one.size).collect::<Option<_>>()?;
    let reach = all().flat_map(|one| &one.coordinates).copied().fold(0.0, f64::max);
    let share = |size: &[u32; 2], idx| (PERCENT / side(*size, idx)).min(1.0);
    let chance: f64 = sizes.iter().map(|size| share(size, 0) * share(size, 1)).product();
    if reach <= MIN_REACH || chance > MAX_CHANCE {
        return None;
    }
    let log_sum: f64 = sizes.iter().map(|size| side(*size, 0).ln() + side(*size, 1).ln()).sum();
    let mean_side = (log_sum / (2 * sizes.len()) as f64).exp();
    let but = if odd.is_empty() {
        String::new()
    } else {
        format!(" but in {} of {n} answers", odd.len())
    };
    let [width, height] = sizes[0];
    let reason = format!(
        "no coordinate is above 100{but}, and they go up to {reach}, on images of {width} × {height} pixels the first, \
         which pixels and thousandths would go beyond"
    );
    let is_doubtful = n < MIN_SURE || mean_side < MIN_SIDE;
    Some(SpaceGuess { space: Space::Percent, reason, is_doubtful, odd })
}

/// Answers that look like percent among others that do not, and are too many for mistakes or chance.
pub(super) struct Percents {
    /// Their places among the evidence.
    which: Vec<usize>,
    /// Whether they have decimal places, which the others have not.
    pub(super) are_sure: bool,
}

/// So many times more answers than chance explains lie in the corner of 100 × 100 pixels before percent is thought of.
const TIMES_CHANCE: f64 = 4.0;

/// Those of the answers at these places that look like percent beside the others; `None` where they are few, or no more than
/// lie in a corner by chance.
pub(super) fn among(evidence: &[Evidence], places: &[usize]) -> Option<Percents> {
    let of = |idx: &usize| &evidence[*idx];
    let n = places.len();
    let sizes: Vec<[u32; 2]> = places.iter().map(|idx| of(idx).size).collect::<Option<_>>()?;
    let share = |size: &[u32; 2], idx| (PERCENT / side(*size, idx)).min(1.0);
    let expected: f64 = sizes.iter().map(|size| share(size, 0) * share(size, 1)).sum();
    let is_within = |idx: &usize| of(idx).coordinates.iter().all(|v| *v <= PERCENT);
    let (which, rest): (Vec<usize>, Vec<usize>) = places.iter().partition(|idx| is_within(idx));
    let k = which.len();
    let reach = which.iter().flat_map(|idx| &of(idx).coordinates).copied().fold(0.0, f64::max);
    if n < MIN_SURE
        || are_few(k, n)
        || k as f64 <= TIMES_CHANCE * expected
        || k < MIN_ANSWERS
        || reach <= MIN_REACH
    {
        return None;
    }
    let n_decimal = |which: &[usize]| {
        let is_decimal = |idx: &&usize| of(idx).coordinates.iter().any(|v| v.fract() != 0.0);
        which.iter().filter(is_decimal).count()
    };
    let are_sure = 2 * n_decimal(&which) > k && are_few(n_decimal(&rest), rest.len());
    Some(Percents { which, are_sure })
}

impl Percents {
    /// They and the others.
    pub(super) fn camps(&self, places: &[usize]) -> [(&'static str, Vec<usize>); 2] {
        let which: BTreeSet<usize> = self.which.iter().copied().collect();
        let others = places.iter().filter(|idx| !which.contains(idx)).copied().collect();
        [
            ("no coordinate above 100 and decimal places, as percent has", self.which.clone()),
            ("coordinates above 100", others),
        ]
    }

    /// Words of doubt, behind the reason for what all are taken for.
    pub(super) fn told(&self, n: usize) -> String {
        let k = self.which.len();
        format!(
            "; but {k} of {n} have no coordinate above 100: if these are percent, the answers are in two units, and \
             data.space holds for all"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(n: usize, size: Option<[u32; 2]>, most: f64) -> Vec<Evidence> {
        let of =
            |k: usize| Evidence { coordinates: vec![k as f64, 3.5, most, most - k as f64], size };
        (0..n).map(of).collect()
    }

    fn guessed(evidence: &[Evidence]) -> Option<(bool, Vec<usize>)> {
        let places: Vec<usize> = (0..evidence.len()).collect();
        guess(evidence, &places).map(|guess| (guess.is_doubtful, guess.odd))
    }

    #[test]
    fn coordinates_that_end_at_a_hundred_on_large_images_are_percent() {
        let photo = Some([640, 480]);
        assert_eq!(guessed(&evidence(20, photo, 97.5)), Some((false, vec![])));
        assert_eq!(guessed(&evidence(4, photo, 97.5)), Some((true, vec![])));
        let mut odd = evidence(40, photo, 97.5);
        odd[3].coordinates[2] = 400.0;
        assert_eq!(guessed(&odd), Some((false, vec![3])));
    }

    #[test]
    fn pixels_of_small_images_and_of_a_corner_are_not() {
        assert_eq!(guessed(&evidence(20, Some([96, 64]), 60.0)), None);
        assert_eq!(guessed(&evidence(20, Some([640, 480]), 40.0)), None);
        assert_eq!(guessed(&evidence(20, Some([640, 480]), 170.0)), None);
        assert_eq!(guessed(&evidence(20, None, 97.5)), None);
        assert_eq!(guessed(&evidence(20, Some([150, 150]), 97.5)), Some((true, vec![])));
    }
}
