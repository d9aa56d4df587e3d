//! Learned positions of patches: a square of them, between which a picture of another size takes its own, bilinearly.

use vrft_kernels::Tap;
use vrft_vision::Grid;

use crate::tower::block_order;

/// Positions that each patch is mixed of.
pub(super) const N_TAPS: usize = 4;

/// For each patch, in the order in which patches come, the four positions around its place and their shares; `side` of
/// them lie along a side, and the corners of a picture are the corners of the square.
pub(super) fn taps(grids: &[Grid], side: usize, merge_size: usize) -> Vec<Tap> {
    let mut taps = Vec::new();
    for grid in grids {
        let rows = along(grid.h, side);
        let columns = along(grid.w, side);
        for [row, column] in block_order(grid, merge_size) {
            for (above, share) in rows[row] {
                let tap = |(left, part): (usize, f32)| ((above * side + left) as u32, share * part);
                taps.extend(columns[column].map(tap));
            }
        }
    }
    taps
}

/// For each of `n` places along one axis the position before it and the one after, with their shares.
fn along(n: usize, side: usize) -> Vec<[(usize, f32); 2]> {
    let last = side - 1;
    let place = |i: usize| {
        let place = i as f32 * last as f32 / (n - 1).max(1) as f32;
        let before = place.floor();
        let share = place - before;
        let before = (before as usize).min(last);
        [(before, 1.0 - share), ((before + 1).min(last), share)]
    };
    (0..n).map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corners_are_corners_and_places_between_are_mixed() {
        assert_eq!(along(2, 5), [[(0, 1.0), (1, 0.0)], [(4, 1.0), (4, 0.0)]]);
        assert_eq!(along(3, 4)[1], [(1, 0.5), (2, 0.5)]);
        assert_eq!(along(1, 4), [[(0, 1.0), (1, 0.0)]]);
        assert_eq!(along(4, 1)[3], [(0, 1.0), (0, 0.0)]);
    }

    #[test]
    fn shares_of_a_patch_sum_to_one() {
        let taps = taps(&[Grid { t: 2, h: 4, w: 6 }], 5, 2);
        assert_eq!(taps.len(), 48 * N_TAPS);
        for taps in taps.chunks(N_TAPS) {
            let sum: f32 = taps.iter().map(|(_, share)| share).sum();
            assert!((sum - 1.0).abs() < 1e-6 && taps.iter().all(|(row, _)| *row < 25));
        }
    }
}
