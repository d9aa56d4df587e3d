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

/// As [`smart_resize`] for each of some frames, with bounds on all of them together.
///
/// A side that is shorter than `factor` is first brought to it.
pub(crate) fn resize_frames(
    (n_frames, temporal_patch_size): (usize, usize),
    height: usize,
    width: usize,
    factor: usize,
    min_pixels: usize,
    max_pixels: usize,
) -> Result<(usize, usize), VisionError> {
    if n_frames < temporal_patch_size {
        return Err(VisionError::TooFewFrames { expected: temporal_patch_size, got: n_frames });
    }
    if height == 0 || width == 0 {
        return Err(VisionError::Empty { width, height });
    }
    let (mut height, mut width) = (height, width);
    if height < factor || width < factor {
        let scale = (factor as f64 / height as f64).max(factor as f64 / width as f64);
        (height, width) = ((height as f64 * scale) as usize, (width as f64 * scale) as usize);
    }
    if height.max(width) as f64 / height.min(width) as f64 > MAX_ASPECT {
        return Err(VisionError::AspectRatio { width, height });
    }
    let nearest =
        |n: usize, unit: usize| (n as f64 / unit as f64).round_ties_even() as usize * unit;
    let (rows, columns) = (nearest(height, factor), nearest(width, factor));
    let n_rounded = nearest(n_frames, temporal_patch_size) * rows * columns;
    let n_pixels = (n_frames * height * width) as f64;
    if n_rounded > max_pixels {
        let shrink = (n_pixels / max_pixels as f64).sqrt();
        let floor = |side: usize| (side as f64 / shrink / factor as f64).floor() as usize * factor;
        return Ok((floor(height).max(factor), floor(width).max(factor)));
    }
    if n_rounded < min_pixels {
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

    /* Equivalent python code:
    print(smart_resize(8, 240, 320, 2, 32, 4096, 25165824))  # of transformers' video processor */
    #[test]
    fn frames_share_their_bounds() {
        let resized = |n, height, width, max| resize_frames((n, 2), height, width, 32, 4096, max);
        assert_eq!(resized(8, 240, 320, 25_165_824).unwrap(), (256, 320));
        assert_eq!(resized(8, 240, 320, 200_000).unwrap(), (128, 160));
        assert_eq!(resized(4, 10, 20, 25_165_824).unwrap(), (32, 64));
        assert!(resized(1, 240, 320, 200_000).is_err());
        assert!(resized(2, 1, 300, 200_000).is_err());
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
