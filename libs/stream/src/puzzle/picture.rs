//! Pieces of pictures, and whether two of them can be told apart.

use image::RgbImage;
use image::imageops;
use rand::Rng;

/// Mean difference of gray levels below which two pieces pass for the same.
const MIN_DIFFERENCE: f64 = 6.0;

/// The piece at a place.
pub(crate) fn piece(image: &RgbImage, x: u32, y: u32, width: u32, height: u32) -> RgbImage {
    imageops::crop_imm(image, x, y, width, height).to_image()
}

/// The largest square of it, at random where there is a choice, with a side divisible by this; `None` if it is
/// too small. A square, since the shape of a turned picture would tell how it was turned.
pub(crate) fn square(image: &RgbImage, multiple: u32, rng: &mut impl Rng) -> Option<RgbImage> {
    let side = image.width().min(image.height()) / multiple * multiple;
    if side < 24.max(multiple) {
        return None;
    }
    let x = rng.random_range(0..=image.width() - side);
    let y = rng.random_range(0..=image.height() - side);
    Some(piece(image, x, y, side, side))
}

/// Whether a policy could tell two pieces of the same size apart.
pub(crate) fn differ(a: &RgbImage, b: &RgbImage) -> bool {
    let levels = a.as_raw().iter().zip(b.as_raw());
    let sum: u64 = levels.map(|(&a, &b)| u64::from(a.abs_diff(b))).sum();
    a.dimensions() == b.dimensions() && sum as f64 / a.as_raw().len().max(1) as f64 > MIN_DIFFERENCE
}

/// Whether each can be told from each other.
pub(crate) fn all_differ(pieces: &[RgbImage]) -> bool {
    pieces.iter().enumerate().all(|(n, a)| pieces[..n].iter().all(|b| differ(a, b)))
}
