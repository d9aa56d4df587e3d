//! Mirror images as further views of a sample: the pixels and the boxes of the answer together.

use std::io::Cursor;

use crate::Flip;
use image::{DynamicImage, ImageFormat, RgbImage};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{DatasetError, Sample};

/// Positions are thousandths of the image, so a mirror is at half of this.
const SPACE: f64 = 1000.0;

/// Whether the k-th prompt of a run sees its sample mirrored: (left and right, top and bottom), each by a fair
/// coin of its own. A function of its arguments alone.
pub fn flip_for(flip: Flip, seed: u64, k: u64) -> (bool, bool) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ FLIP_SEED);
    rng.set_stream(k);
    let (horizontal, vertical) = (rng.random(), rng.random());
    match flip {
        Flip::None => (false, false),
        Flip::Horizontal => (horizontal, false),
        Flip::Both => (horizontal, vertical),
    }
}

/// Keeps the coins of flipping apart from the numbers that order samples under the same seed.
const FLIP_SEED: u64 = 0x666c_6970;

/// The sample with its images mirrored, and with them each `'Position': [x1, y1, x2, y2]` of its solution.
///
/// Mirrored images are PNG, so that nothing is lost. Words such as "left" in question or answer stay as they are.
///
/// # Errors
/// An image that cannot be decoded.
pub fn flip(sample: &Sample, horizontal: bool, vertical: bool) -> Result<Sample, DatasetError> {
    if !horizontal && !vertical {
        return Ok(sample.clone());
    }
    let mirror = |(image_idx, bytes): (usize, &Vec<u8>)| {
        flip_image(bytes, horizontal, vertical).map_err(|message| DatasetError::Flip {
            sample_id: sample.sample_id.clone(),
            image_idx,
            message,
        })
    };
    Ok(Sample {
        images: sample.images.iter().enumerate().map(mirror).collect::<Result<_, _>>()?,
        solution: flip_positions(&sample.solution, horizontal, vertical),
        ..sample.clone()
    })
}

/// As the policy would see it, upright and without transparency, then mirrored.
fn flip_image(bytes: &[u8], horizontal: bool, vertical: bool) -> Result<Vec<u8>, String> {
    let pixels = vrft_vision::decode(bytes).map_err(|error| error.to_string())?;
    let (width, height) = (pixels.width as u32, pixels.height as u32);
    let image = RgbImage::from_raw(width, height, pixels.rgb);
    let mut image = DynamicImage::from(image.ok_or("it has another size than it says")?);
    if horizontal {
        image = image.fliph();
    }
    if vertical {
        image = image.flipv();
    }
    let mut png = Cursor::new(Vec::new());
    image.write_to(&mut png, ImageFormat::Png).map_err(|error| error.to_string())?;
    Ok(png.into_inner())
}

/// Rewrites the list after each `Position`; all other text stays as it is.
fn flip_positions(solution: &str, horizontal: bool, vertical: bool) -> String {
    let mut flipped = String::with_capacity(solution.len());
    let mut rest = solution;
    while let Some((before, inside, after)) = next_position(rest) {
        flipped.push_str(before);
        match corners(inside) {
            Some(corners) => flipped.push_str(&flip_corners(corners, horizontal, vertical)),
            None => flipped.push_str(inside),
        }
        rest = after;
    }
    flipped.push_str(rest);
    flipped
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

fn flip_corners([x1, y1, x2, y2]: [f64; 4], horizontal: bool, vertical: bool) -> String {
    let (x1, x2) = if horizontal { (SPACE - x2, SPACE - x1) } else { (x1, x2) };
    let (y1, y2) = if vertical { (SPACE - y2, SPACE - y1) } else { (y1, y2) };
    format!("{x1}, {y1}, {x2}, {y2}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{pixels, png, sample};

    const SOLUTION: &str = "<answer>[{'Position': [1, 364, 98, 649], 'Confidence': 1}, {\"position\": [0,0,500,250.5]}]</answer>";

    #[track_caller]
    fn check(horizontal: bool, vertical: bool, pixels_expect: [u8; 4], solution: &str) {
        let mut before = sample("a", SOLUTION);
        before.images = vec![png(2, [10, 20, 30, 40])];
        let after = flip(&before, horizontal, vertical).unwrap();
        assert_eq!(pixels(&after.images[0]), pixels_expect);
        assert_eq!(after.solution, solution);
        assert_eq!((after.problem, after.sample_id), (before.problem, before.sample_id));
    }

    #[test]
    fn left_and_right() {
        check(
            true,
            false,
            [20, 10, 40, 30],
            "<answer>[{'Position': [902, 364, 999, 649], 'Confidence': 1}, {\"position\": [500, 0, 1000, 250.5]}]</answer>",
        );
    }
    #[test]
    fn top_and_bottom() {
        check(
            false,
            true,
            [30, 40, 10, 20],
            "<answer>[{'Position': [1, 351, 98, 636], 'Confidence': 1}, {\"position\": [0, 749.5, 500, 1000]}]</answer>",
        );
    }
    #[test]
    fn neither() {
        check(false, false, [10, 20, 30, 40], SOLUTION);
    }
    #[test]
    fn twice_is_the_same() {
        let once = flip_positions(SOLUTION, true, true);
        assert_eq!(flip_positions(&once, true, true), SOLUTION.replace("0,0,500,", "0, 0, 500, "));
    }
    #[test]
    fn text_without_boxes_stays() {
        for text in ["No Objects", "rose", "Position [left]", "Position: [1, 2", "Ünïcode position"]
        {
            assert_eq!(flip_positions(text, true, true), text);
        }
    }
    #[test]
    fn a_damaged_image_is_an_error_that_names_the_sample() {
        let mut sample = sample("row 7", SOLUTION);
        sample.images = vec![vec![1, 2, 3]];
        let error = flip(&sample, true, false).unwrap_err().to_string();
        assert!(error.starts_with("cannot mirror image 0 of sample \"row 7\""), "{error}");
    }

    #[test]
    fn coins_are_fair_and_repeatable() {
        let both: Vec<_> = (0..1000).map(|k| flip_for(Flip::Both, 3, k)).collect();
        let (left, up) = (both.iter().filter(|f| f.0).count(), both.iter().filter(|f| f.1).count());
        assert!((450..550).contains(&left) && (450..550).contains(&up), "{left} {up}");
        assert_eq!(both[17], flip_for(Flip::Both, 3, 17));
        assert!((0..100).all(|k| flip_for(Flip::None, 3, k) == (false, false)));
        assert!((0..100).all(|k| !flip_for(Flip::Horizontal, 3, k).1));
    }
}
