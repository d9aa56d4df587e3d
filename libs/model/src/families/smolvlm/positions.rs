//! Learned positions of patches: a square of them, of which a patch has the one at its place in the picture.
//!
//! Which one that is, is decided by comparing fractions in single precision, which for some sizes fall on either side
//! of a boundary by their last bit. The published weights were trained with what torch computes, so it is computed
//! here step by step as torch does.

/// The place along one axis of each of `n` patches among `side` learned positions.
pub(super) fn places(n: usize, side: usize) -> Vec<u32> {
    let boundaries = boundaries(side);
    let step = 1.0 / n as f32;
    let place = |i: usize| {
        let fraction = (i as f32 * step).min((1.0 - 1e-6) as f32);
        boundaries.partition_point(|boundary| *boundary <= fraction) as u32
    };
    (0..n).map(place).collect()
}

/// `torch.arange(1 / side, 1.0, 1 / side)` on a CPU: most of it eight values at a time, whose first is rounded to single
/// precision before the others are counted from it.
fn boundaries(side: usize) -> Vec<f32> {
    const LANES: usize = 8;
    let step = 1.0 / side as f64;
    let n = ((1.0 - step) / step).ceil() as usize;
    let at = |i: usize| step + step * i as f64;
    let n_in_lanes = n / (2 * LANES) * 2 * LANES;
    let boundary = |i: usize| {
        if i >= n_in_lanes {
            return at(i) as f32;
        }
        let first = at(i / LANES * LANES) as f32;
        (f64::from(first) + (i % LANES) as f64 * step) as f32
    };
    (0..n).map(boundary).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /* Equivalent python code:
    b = torch.arange(1 / side, 1.0, 1 / side)
    f = torch.clamp(torch.arange(n, dtype=torch.float32) * (1.0 / torch.tensor([n])), max=1.0 - 1e-6)
    print(torch.bucketize(f, b, right=True).tolist()) */
    #[test]
    fn as_many_patches_as_positions_have_one_each_but_where_rounding_decides() {
        assert_eq!(places(32, 32), (0..32).collect::<Vec<u32>>());
        assert_eq!(places(3, 7), [0, 2, 4]);
        assert_eq!(places(5, 2), [0, 0, 0, 1, 1]);
        assert_eq!(places(1, 9), [0]);
        assert_eq!(places(4, 1), [0; 4]);
        assert_eq!(
            places(19, 19),
            [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 11, 13, 14, 15, 16, 17, 18]
        );
        assert_eq!(
            places(25, 25),
            [
                0, 1, 2, 3, 4, 4, 6, 7, 8, 8, 9, 10, 11, 12, 14, 14, 16, 17, 17, 19, 19, 21, 22,
                22, 24
            ]
        );
        assert_eq!(
            places(27, 27),
            [
                0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22,
                23, 24, 25, 26
            ]
        );
    }
}
