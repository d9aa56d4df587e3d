//! PatchFit: which of several pieces fits the hole?

use image::imageops::{self, flip_horizontal, flip_vertical, rotate90, rotate180, rotate270};
use image::{Rgb, RgbImage};
use rand::Rng;
use rand::seq::SliceRandom;

use super::picture::{differ, piece, square};
use super::{FORMAT, Parts};

const LETTERS: [&str; 8] = ["A", "B", "C", "D", "E", "F", "G", "H"];

/// What stands where the piece was.
const GRAY: Rgb<u8> = Rgb([128; 3]);

pub(crate) fn make(
    frame: &RgbImage,
    other: &RgbImage,
    n_decoys: usize,
    right: usize,
    rng: &mut impl Rng,
) -> Option<Parts> {
    let (last, others) = LETTERS.get(..=n_decoys)?.split_last()?;
    let mut picture = square(frame, 3, rng)?;
    let side = picture.width() / 3;
    let (x, y) = (rng.random_range(0..=2 * side), rng.random_range(0..=2 * side));
    let patch = piece(&picture, x, y, side, side);
    let mut pieces = vec![patch.clone()];
    for decoy in decoys(&picture, &patch, other, rng) {
        if pieces.len() <= n_decoys && pieces.iter().all(|known| differ(known, &decoy)) {
            pieces.push(decoy);
        }
    }
    if pieces.len() <= n_decoys {
        return None;
    }
    // The decoys come in random order; the true piece takes the place that it is given.
    pieces.swap(0, right);
    imageops::replace(&mut picture, &RgbImage::from_pixel(side, side, GRAY), x.into(), y.into());
    let question = format!(
        "The first picture has a gray hole. The other pictures are, in this order, {} and {last}. Which of them \
         fits the hole?\n{FORMAT} The answer is one letter.",
        others.join(", ")
    );
    let images = std::iter::once(picture).chain(pieces).collect();
    Some((images, question, LETTERS[right].to_owned()))
}

/// The piece mirrored, turned or tinted, and pieces from elsewhere, in random order.
fn decoys(
    picture: &RgbImage,
    patch: &RgbImage,
    other: &RgbImage,
    rng: &mut impl Rng,
) -> Vec<RgbImage> {
    let side = patch.width();
    let mut decoys = vec![
        flip_horizontal(patch),
        flip_vertical(patch),
        rotate90(patch),
        rotate180(patch),
        rotate270(patch),
        tinted(patch),
    ];
    for source in [picture, picture, other, other] {
        if source.width() >= side && source.height() >= side {
            let x = rng.random_range(0..=source.width() - side);
            let y = rng.random_range(0..=source.height() - side);
            decoys.push(piece(source, x, y, side, side));
        }
    }
    decoys.shuffle(rng);
    decoys
}

/// Red, green and blue change places.
fn tinted(patch: &RgbImage) -> RgbImage {
    let mut tinted = patch.clone();
    tinted.pixels_mut().for_each(|pixel| pixel.0.rotate_left(1));
    tinted
}
