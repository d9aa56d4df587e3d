//! Mirror images as further views of a row: the pixels and the boxes of the answer together.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, RgbImage};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use vrft_vision::Pixels;

use crate::Flip;

/// Positions are thousandths of the image, so a mirror is at half of this.
const SPACE: f64 = 1000.0;

/// Keeps the coins of mirroring apart from the numbers that order rows under the same seed.
const MIRROR_SEED: u64 = 0x666c_6970;

/// A mirror image of a picture; the default is the picture as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mirror {
    /// Left and right swap.
    pub horizontal: bool,
    /// Top and bottom swap.
    pub vertical: bool,
}

impl Mirror {
    /// How the k-th prompt of a run shows its row, each way by a fair coin of its own. A function of its arguments
    /// alone.
    pub fn of_prompt(flip: Flip, seed: u64, k: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed ^ MIRROR_SEED);
        rng.set_stream(k);
        let (horizontal, vertical) = (rng.random(), rng.random());
        match flip {
            Flip::None => Self::default(),
            Flip::Horizontal => Self { horizontal, vertical: false },
            Flip::Both => Self { horizontal, vertical },
        }
    }

    /// Whether nothing is mirrored.
    pub fn is_none(self) -> bool {
        self == Self::default()
    }

    /// The mirrored picture as PNG, so that nothing is lost.
    ///
    /// # Errors
    /// What the encoder says.
    pub fn png(self, pixels: Pixels) -> Result<Vec<u8>, String> {
        let (width, height) = (pixels.width as u32, pixels.height as u32);
        let image = RgbImage::from_raw(width, height, pixels.rgb);
        let mut image = DynamicImage::from(image.ok_or("it has another size than it says")?);
        if self.horizontal {
            image = image.fliph();
        }
        if self.vertical {
            image = image.flipv();
        }
        let mut png = Cursor::new(Vec::new());
        image.write_to(&mut png, ImageFormat::Png).map_err(|error| error.to_string())?;
        Ok(png.into_inner())
    }

    /// A true answer with each `'Position': [x1, y1, x2, y2]` mirrored, in thousandths of the image. Words such as
    /// "left" stay as they are.
    pub fn positions(self, solution: &str) -> String {
        if self.is_none() {
            return solution.to_owned();
        }
        mirror_positions(solution, self)
    }
}

/// Rewrites the list after each `Position`; all other text stays as it is.
fn mirror_positions(solution: &str, mirror: Mirror) -> String {
    let mut mirrored = String::with_capacity(solution.len());
    let mut rest = solution;
    while let Some((before, inside, after)) = next_position(rest) {
        mirrored.push_str(before);
        match corners(inside) {
            Some(corners) => mirrored.push_str(&mirror_corners(corners, mirror)),
            None => mirrored.push_str(inside),
        }
        rest = after;
    }
    mirrored.push_str(rest);
    mirrored
}

/// Text up to and with the bracket after the next `Position`, what the brackets hold, and the rest.
fn next_position(text: &str) -> Option<(&str, &str, &str)> {
    // ASCII letters only change their case: places in the lower-case text are places in the text.
    let key = text.to_ascii_lowercase().find("position")?;
    let open = key + text[key..].find('[')? + 1;
    let close = open + text[open..].find(']')?;
    Some((&text[..open], &text[open..close], &text[close..]))
}

fn corners(inside: &str) -> Option<[f64; 4]> {
    let numbers: Result<Vec<f64>, _> = inside.split(',').map(|n| n.trim().parse()).collect();
    numbers.ok()?.try_into().ok()
}

fn mirror_corners([x1, y1, x2, y2]: [f64; 4], mirror: Mirror) -> String {
    let (x1, x2) = if mirror.horizontal { (SPACE - x2, SPACE - x1) } else { (x1, x2) };
    let (y1, y2) = if mirror.vertical { (SPACE - y2, SPACE - y1) } else { (y1, y2) };
    format!("{x1}, {y1}, {x2}, {y2}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{pixels, png};

    const SOLUTION: &str = "<answer>[{'Position': [1, 364, 98, 649], 'Confidence': 1}, {\"position\": [0,0,500,250.5]}]</answer>";

    const LEFT_RIGHT: Mirror = Mirror { horizontal: true, vertical: false };
    const UP_DOWN: Mirror = Mirror { horizontal: false, vertical: true };
    const BOTH: Mirror = Mirror { horizontal: true, vertical: true };

    #[track_caller]
    fn check(mirror: Mirror, pixels_expect: [u8; 4], solution: &str) {
        let decoded = vrft_vision::decode(&png(2, [10, 20, 30, 40])).unwrap();
        assert_eq!(pixels(&mirror.png(decoded).unwrap()), pixels_expect);
        assert_eq!(mirror.positions(SOLUTION), solution);
    }

    #[test]
    fn left_and_right() {
        check(
            LEFT_RIGHT,
            [20, 10, 40, 30],
            "<answer>[{'Position': [902, 364, 999, 649], 'Confidence': 1}, {\"position\": [500, 0, 1000, 250.5]}]</answer>",
        );
    }
    #[test]
    fn top_and_bottom() {
        check(
            UP_DOWN,
            [30, 40, 10, 20],
            "<answer>[{'Position': [1, 351, 98, 636], 'Confidence': 1}, {\"position\": [0, 749.5, 500, 1000]}]</answer>",
        );
    }
    #[test]
    fn neither() {
        check(Mirror::default(), [10, 20, 30, 40], SOLUTION);
    }
    #[test]
    fn twice_is_the_same() {
        let once = BOTH.positions(SOLUTION);
        assert_eq!(BOTH.positions(&once), SOLUTION.replace("0,0,500,", "0, 0, 500, "));
    }
    #[test]
    fn text_without_boxes_stays() {
        for text in ["No Objects", "rose", "Position [left]", "Position: [1, 2", "Ünïcode position"]
        {
            assert_eq!(BOTH.positions(text), text);
        }
    }

    #[test]
    fn coins_are_fair_and_repeatable() {
        let both: Vec<Mirror> = (0..1000).map(|k| Mirror::of_prompt(Flip::Both, 3, k)).collect();
        let left = both.iter().filter(|mirror| mirror.horizontal).count();
        let up = both.iter().filter(|mirror| mirror.vertical).count();
        assert!((450..550).contains(&left) && (450..550).contains(&up), "{left} {up}");
        assert_eq!(both[17], Mirror::of_prompt(Flip::Both, 3, 17));
        assert!((0..100).all(|k| Mirror::of_prompt(Flip::None, 3, k).is_none()));
        assert!((0..100).all(|k| !Mirror::of_prompt(Flip::Horizontal, 3, k).vertical));
    }
}
