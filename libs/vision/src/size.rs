//! The size an image is scaled to before it is cut into patches.

use crate::VisionError;

/// Longest side over shortest that a patch grid can carry.
const MAX_ASPECT: f64 = 200.0;

/// The `(height, width)` that the model sees: multiples of `factor`, between `min_pixels` and
/// `max_pixels` in all, and the aspect ratio kept as well as that allows.
///
/// The number of pixels may pass `max_pixels` where one side is already at `factor`. An error if one side
/// is more than 200 times the other, or zero.
/// [2409.12191](https://arxiv.org/abs/2409.12191), "Naive Dynamic Resolution"; rounding as in transformers.
pub fn smart_resize(
    height: usize,
    width: usize,
    factor: usize,
    min_pixels: usize,
    max_pixels: usize,
) -> Result<(usize, usize), VisionError> {
    let (long, short) = (height.max(width), height.min(width));
    if short == 0 {
        return Err(VisionError::Empty { width, height });
    }
    if long as f64 / short as f64 > MAX_ASPECT {
        return Err(VisionError::AspectRatio { width, height });
    }
    // Python's `round` takes ties to the even neighbor.
    let nearest = |side: usize| (side as f64 / factor as f64).round_ties_even() as usize * factor;
    let (rows, columns) = (nearest(height), nearest(width));
    let n_pixels = (height * width) as f64;
    if rows * columns > max_pixels {
        let shrink = (n_pixels / max_pixels as f64).sqrt();
        let floor = |side: usize| (side as f64 / shrink / factor as f64).floor() as usize * factor;
        return Ok((floor(height).max(factor), floor(width).max(factor)));
    }
    if rows * columns < min_pixels {
        let grow = (min_pixels as f64 / n_pixels).sqrt();
        let ceil = |side: usize| (side as f64 * grow / factor as f64).ceil() as usize * factor;
        return Ok((ceil(height), ceil(width)));
    }
    Ok((rows, columns))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(height: usize, width: usize, expected: (usize, usize)) {
        assert_eq!(smart_resize(height, width, 28, 3136, 1_003_520).expect("fits"), expected);
    }

    /* Equivalent python code:
    print(smart_resize(480, 640, 28, 56 * 56, 28 * 28 * 1280))  # of transformers' image processor */
    #[test]
    fn sides_are_rounded_to_the_factor() {
        check(480, 640, (476, 644));
        check(448, 448, (448, 448));
    }

    #[test]
    fn ties_go_to_the_even_multiple() {
        check(70, 98, (56, 112));
        check(42, 126, (56, 112));
    }

    #[test]
    fn a_large_image_shrinks() {
        check(3000, 4000, (840, 1148));
        check(40, 8000, (28, 8008));
    }

    #[test]
    fn a_small_image_grows() {
        check(10, 10, (56, 56));
        check(5, 900, (28, 756));
    }

    #[test]
    fn a_strip_is_refused() {
        let message = smart_resize(1, 201, 28, 3136, 1_003_520).expect_err("strip").to_string();
        assert_eq!(
            message,
            "the longer side should be at most 200 times the shorter one, got 201 × 1"
        );
        assert!(smart_resize(1, 200, 28, 3136, 1_003_520).is_ok());
        assert!(smart_resize(0, 200, 28, 3136, 1_003_520).is_err());
    }
}
