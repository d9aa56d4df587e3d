//! Spot: where does a piece of another frame lie over this one?

use image::RgbImage;
use image::imageops;
use rand::Rng;

use super::Parts;
use super::picture::{differ, piece, square};

/// Shortest and longest side of the piece, as shares of the frame's.
const SHARES: std::ops::Range<f64> = 0.25..0.5;

/// What the question calls it.
const CATEGORY: &str = "foreign patch";

pub(crate) fn make(frame: &RgbImage, other: &RgbImage, rng: &mut impl Rng) -> Option<Parts> {
    let mut picture = square(frame, 1, rng)?;
    let (width, height) = picture.dimensions();
    let mut side = |whole: u32| (f64::from(whole) * rng.random_range(SHARES)) as u32;
    let (w, h) = (side(width), side(height));
    if w < 8 || h < 8 || other.width() < w || other.height() < h {
        return None;
    }
    let mut corner = |image: &RgbImage| {
        (rng.random_range(0..=image.width() - w), rng.random_range(0..=image.height() - h))
    };
    let ((from_x, from_y), (x, y)) = (corner(other), corner(&picture));
    let foreign = piece(other, from_x, from_y, w, h);
    if !differ(&foreign, &piece(&picture, x, y, w, h)) {
        return None;
    }
    imageops::replace(&mut picture, &foreign, x.into(), y.into());
    let [x1, x2] = [x, x + w].map(|x| thousandths(x, width));
    let [y1, y2] = [y, y + h].map(|y| thousandths(y, height));
    let answer = format!("[{{'Position': [{x1}, {y1}, {x2}, {y2}], 'Confidence': 1}}]");
    Some((vec![picture], vrft_reward::visual_rft_question(CATEGORY), answer))
}

fn thousandths(at: u32, whole: u32) -> u32 {
    (at * 1000 + whole / 2) / whole
}
