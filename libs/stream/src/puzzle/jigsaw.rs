//! Jigsaw: in which order do the shuffled tiles belong?

use image::RgbImage;
use image::imageops;
use rand::Rng;
use rand::seq::SliceRandom;

use super::picture::{all_differ, piece, square};
use super::{FORMAT, Parts};

/// Tiles along each side: four tiles, so that a guess finds each place with a chance of one in four.
const SIDE: u32 = 2;

/// Two tiles of a plain wall cannot be told apart, so such a frame makes no puzzle.
pub(crate) fn make(frame: &RgbImage, rng: &mut impl Rng) -> Option<Parts> {
    let picture = square(frame, SIDE, rng)?;
    let tile = picture.width() / SIDE;
    let corners: Vec<(u32, u32)> =
        (0..SIDE * SIDE).map(|n| (n % SIDE * tile, n / SIDE * tile)).collect();
    let tiles: Vec<RgbImage> =
        corners.iter().map(|&(x, y)| piece(&picture, x, y, tile, tile)).collect();
    if !all_differ(&tiles) {
        return None;
    }
    // shown[place] is the tile that is shown there.
    let mut shown: Vec<usize> = (0..tiles.len()).collect();
    shown.shuffle(rng);
    let mut shuffled = RgbImage::new(picture.width(), picture.height());
    for (&(x, y), &n) in corners.iter().zip(&shown) {
        imageops::replace(&mut shuffled, &tiles[n], x.into(), y.into());
    }
    let question = format!(
        "This picture was cut into {SIDE} rows of {SIDE} tiles, and the tiles were shuffled. Number the tiles as \
         they are shown, row by row, from 1 to {}. In which order do they belong, row by row?\n{FORMAT} \
         The answer is the numbers with commas, as in 1,2,3,4.",
        tiles.len()
    );
    Some((vec![shuffled], question, answer(&shown)))
}

/// For each place of the true picture, the number under which its tile is shown.
fn answer(shown: &[usize]) -> String {
    let place_of = |tile: usize| shown.iter().position(|&n| n == tile).map_or(0, |place| place + 1);
    let numbers: Vec<String> = (0..shown.len()).map(|tile| place_of(tile).to_string()).collect();
    numbers.join(",")
}
