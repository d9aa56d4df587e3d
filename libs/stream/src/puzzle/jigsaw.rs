//! Jigsaw: in which order do the shuffled tiles belong?

use image::RgbImage;
use image::imageops;
use rand::Rng;
use rand::seq::SliceRandom;

use super::picture::{all_differ, piece, square};
use super::{FORMAT, Parts};

/// Two tiles of a plain wall cannot be told apart, so such a frame makes no puzzle.
pub(crate) fn make(
    frame: &RgbImage,
    [rows, columns]: [u32; 2],
    rng: &mut impl Rng,
) -> Option<Parts> {
    let picture = square(frame, common_multiple(rows, columns), rng)?;
    let (width, height) = (picture.width() / columns, picture.height() / rows);
    let corners: Vec<(u32, u32)> =
        (0..rows * columns).map(|n| (n % columns * width, n / columns * height)).collect();
    let tiles: Vec<RgbImage> =
        corners.iter().map(|&(x, y)| piece(&picture, x, y, width, height)).collect();
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
        "This picture was cut into {rows} rows of {columns} tiles, and the tiles were shuffled. Number the tiles as \
         they are shown, row by row, from 1 to {}. In which order do they belong, row by row?\n{FORMAT} \
         The answer is the numbers with commas, as in {}.",
        tiles.len(),
        in_order(tiles.len())
    );
    Some((vec![shuffled], question, answer(&shown)))
}

/// For each place of the true picture, the number under which its tile is shown.
fn answer(shown: &[usize]) -> String {
    let place_of = |tile: usize| shown.iter().position(|&n| n == tile).map_or(0, |place| place + 1);
    let numbers: Vec<String> = (0..shown.len()).map(|tile| place_of(tile).to_string()).collect();
    numbers.join(",")
}

/// `1,2,3`, as an example of an answer.
fn in_order(n: usize) -> String {
    (1..=n).map(|number| number.to_string()).collect::<Vec<_>>().join(",")
}

/// The least number that both divide.
fn common_multiple(a: u32, b: u32) -> u32 {
    (1..=b).map(|factor| a * factor).find(|multiple| multiple % b == 0).unwrap_or(a * b)
}
