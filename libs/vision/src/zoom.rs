//! A closer look at a part of a picture: what the tool `zoom` does.

use std::io::Cursor;

use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};

use crate::{Pixels, decode};

/// Least side of what is shown: smaller boxes grow about their middle. Vision towers cut pictures into patches of 14 or 16
/// pixels and put four of them together.
const LEAST_SIDE: usize = 32;

/// What is said beside a part of a picture.
pub const ZOOMED: &str = "This is what is there.";

/// A part of a picture as a PNG file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zoomed {
    /// The file.
    pub png: Vec<u8>,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
}

/// A picture that can be zoomed into.
#[derive(Debug, Clone, Copy)]
pub struct Zoomable<'a> {
    /// The picture's file.
    pub bytes: &'a [u8],
    /// The x and y of its lower right corner in the coordinates of the box.
    pub extent: [u32; 2],
}

/// Cuts `[x1, y1, x2, y2]` out of the first of the pictures, at all pixels that its file has there. Of several, a number from 1
/// before the box says which: `[2, x1, y1, x2, y2]`.
///
/// # Errors
/// What is wrong with the call, for the policy to read.
pub fn zoom(arguments: &str, pictures: &[Zoomable]) -> Result<Zoomed, String> {
    let numbers = numbers(arguments)?;
    let (number, corners) = match numbers[..] {
        [x1, y1, x2, y2] => (1.0, [x1, y1, x2, y2]),
        [number, x1, y1, x2, y2] => (number, [x1, y1, x2, y2]),
        _ => return Err(format!("expected [x1, y1, x2, y2], got {} numbers", numbers.len())),
    };
    let n = pictures.len();
    let place = (1..=n).find(|place| *place as f64 == number);
    let picture = place.and_then(|place| pictures.get(place - 1)).ok_or_else(|| match n {
        0 => "there is no picture".to_owned(),
        n => format!("there is no picture {number}; pictures are numbered from 1 to {n}"),
    })?;
    let [x1, y1, x2, y2] = corners;
    let [right, bottom] = picture.extent.map(f64::from);
    let is_within = x1 >= 0.0 && y1 >= 0.0 && x2 <= right && y2 <= bottom;
    if !(is_within && x1 < x2 && y1 < y2) {
        return Err(format!(
            "expected 0 <= x1 < x2 <= {right} and 0 <= y1 < y2 <= {bottom}, got [{x1}, {y1}, {x2}, {y2}]"
        ));
    }
    let pixels = decode(picture.bytes).map_err(|error| error.to_string())?;
    let columns = side(x1 / right, x2 / right, pixels.width);
    let rows = side(y1 / bottom, y2 / bottom, pixels.height);
    cut(&pixels, columns, rows)
}

/// The numbers of a call, in brackets or not.
fn numbers(arguments: &str) -> Result<Vec<f64>, String> {
    let inner = arguments.trim().trim_start_matches(['[', '(']).trim_end_matches([']', ')']);
    let number = |part: &str| part.trim().parse::<f64>().ok().filter(|number| number.is_finite());
    let parts = inner.split(',').map(number).collect::<Option<Vec<f64>>>();
    let shown: String = arguments.chars().take(80).collect();
    parts.ok_or_else(|| format!("expected [x1, y1, x2, y2], got {shown:?}"))
}

/// The pixels from one share of a side to another: at least [`LEAST_SIDE`] of them where there are so many.
fn side(from: f64, to: f64, n: usize) -> (usize, usize) {
    let all = n as f64;
    let (start, end) = ((from * all).floor() as usize, ((to * all).ceil() as usize).min(n));
    let len = (end - start.min(end)).max(LEAST_SIDE.min(n));
    let middle = (from + to) / 2.0 * all;
    let first = if end - start.min(end) >= len {
        start
    } else {
        (middle - len as f64 / 2.0).round().max(0.0) as usize
    };
    let first = first.min(n - len);
    (first, first + len)
}

fn cut(
    pixels: &Pixels,
    (left, right): (usize, usize),
    (top, bottom): (usize, usize),
) -> Result<Zoomed, String> {
    let row = |y: usize| &pixels.rgb[3 * (y * pixels.width + left)..3 * (y * pixels.width + right)];
    let rgb: Vec<u8> = (top..bottom).flat_map(row).copied().collect();
    let (width, height) = ((right - left) as u32, (bottom - top) as u32);
    let mut file = Cursor::new(Vec::new());
    let encoder = PngEncoder::new(&mut file);
    encoder
        .write_image(&rgb, width, height, ExtendedColorType::Rgb8)
        .map_err(|error| error.to_string())?;
    Ok(Zoomed { png: file.into_inner(), width, height })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 80 by 40 pixels, each with its column and row as red and green.
    fn picture() -> Vec<u8> {
        let rgb: Vec<u8> = (0..40u8).flat_map(|y| (0..80u8).flat_map(move |x| [x, y, 0])).collect();
        let mut file = Cursor::new(Vec::new());
        PngEncoder::new(&mut file).write_image(&rgb, 80, 40, ExtendedColorType::Rgb8).unwrap();
        file.into_inner()
    }

    /// Size of what is shown, and column and row of its first pixel.
    #[track_caller]
    fn check(arguments: &str, expect: Result<((u32, u32), [u8; 2]), &str>) {
        let bytes = picture();
        let pictures = [Zoomable { bytes: &bytes, extent: [1000, 1000] }; 2];
        let zoomed = zoom(arguments, &pictures);
        let got = zoomed.map(|zoomed| {
            let pixels = decode(&zoomed.png).unwrap();
            assert_eq!((pixels.width as u32, pixels.height as u32), (zoomed.width, zoomed.height));
            ((zoomed.width, zoomed.height), [pixels.rgb[0], pixels.rgb[1]])
        });
        assert_eq!(got, expect.map_err(str::to_owned));
    }

    #[test]
    fn a_box_is_cut_out_at_all_its_pixels() {
        check("[500, 0, 1000, 1000]", Ok(((40, 40), [40, 0])));
        check("2, 0, 100, 1000, 1000", Ok(((80, 36), [0, 4])));
        check("(1, 0, 0, 1000, 1000)", Ok(((80, 40), [0, 0])));
    }

    #[test]
    fn a_small_box_grows_about_its_middle_within_the_picture() {
        check("[495, 495, 505, 505]", Ok(((32, 32), [24, 4])));
        check("[0, 0, 1, 1]", Ok(((32, 32), [0, 0])));
        check("[999, 999, 1000, 1000]", Ok(((32, 32), [48, 8])));
    }

    #[test]
    fn what_is_wrong_with_a_call_is_said() {
        check("the cat", Err("expected [x1, y1, x2, y2], got \"the cat\""));
        check("", Err("expected [x1, y1, x2, y2], got \"\""));
        check("[1, 2, 3]", Err("expected [x1, y1, x2, y2], got 3 numbers"));
        let outside = "expected 0 <= x1 < x2 <= 1000 and 0 <= y1 < y2 <= 1000, got ";
        check("[0, 0, 1001, 5]", Err(&format!("{outside}[0, 0, 1001, 5]")));
        check("[5, 0, 5, 5]", Err(&format!("{outside}[5, 0, 5, 5]")));
        check("[NaN, 0, 5, 5]", Err("expected [x1, y1, x2, y2], got \"[NaN, 0, 5, 5]\""));
        check("[3, 0, 0, 5, 5]", Err("there is no picture 3; pictures are numbered from 1 to 2"));
        assert_eq!(zoom("[0, 0, 5, 5]", &[]), Err("there is no picture".to_owned()));
        let broken = Zoomable { bytes: b"GIF89a", extent: [10, 10] };
        assert!(zoom("[0, 0, 5, 5]", &[broken]).is_err());
    }
}
