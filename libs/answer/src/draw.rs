//! Boxes and points drawn into a picture.

use std::collections::BTreeSet;
use std::io::Cursor;
use std::path::Path;

use image::{ImageFormat, Rgb, RgbImage};

use crate::{Found, Picture, Place};

/// Colors that are told apart on any ground; one for each name, in order of the names.
const COLORS: [[u8; 3]; 6] =
    [[255, 64, 64], [64, 200, 255], [255, 220, 0], [96, 255, 96], [255, 96, 255], [255, 160, 32]];

/// Thinnest line in pixels, and the share of the longer side that lines of larger pictures have.
const LINE: (u32, f64) = (2, 1.0 / 250.0);

/// Formats that a drawn picture is written in.
const FORMATS: [ImageFormat; 5] =
    [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP, ImageFormat::Bmp, ImageFormat::Tiff];

/// The format that the name of a file says.
///
/// # Errors
/// A name that says none, or one that is not written here.
pub fn drawn_as(path: &Path) -> Result<ImageFormat, String> {
    let named = ImageFormat::from_path(path).ok().filter(|format| FORMATS.contains(format));
    named.ok_or_else(|| {
        let ends = FORMATS.map(|format| format.extensions_str()[0]).join(", .");
        format!("{path:?}: expected a name that says how the picture is written, .{ends}")
    })
}

/// The picture as it came, with the outlines of boxes and a square around each point, as a file of this format.
///
/// # Errors
/// A picture that cannot be decoded, or is too large for the format.
pub fn draw(picture: &Picture, found: &[Found], format: ImageFormat) -> Result<Vec<u8>, String> {
    let pixels = vrft_vision::decode(&picture.file).map_err(|error| error.to_string())?;
    let (width, height) = (pixels.width as u32, pixels.height as u32);
    let image = RgbImage::from_raw(width, height, pixels.rgb);
    let mut image = image.ok_or_else(|| "its pixels do not fit its size".to_owned())?;
    // Places are in pixels of the original; the file may be scaled.
    let (x, y) = (
        f64::from(width) / f64::from(picture.original.0),
        f64::from(height) / f64::from(picture.original.1),
    );
    let names: BTreeSet<&str> = found.iter().filter_map(|one| one.label.as_deref()).collect();
    let line = LINE.0.max((f64::from(width.max(height)) * LINE.1).round() as u32);
    for one in found {
        let name = one.label.as_deref().unwrap_or_default();
        let number = names.iter().position(|known| *known == name).unwrap_or(0);
        let corners = match one.place {
            Place::Box([x1, y1, x2, y2]) => [x1 * x, y1 * y, x2 * x, y2 * y],
            Place::Point([px, py]) => {
                let reach = f64::from(2 * line);
                [px * x - reach, py * y - reach, px * x + reach, py * y + reach]
            }
        };
        outline(&mut image, corners, line, Rgb(COLORS[number % COLORS.len()]));
    }
    let mut file = Cursor::new(Vec::new());
    image.write_to(&mut file, format).map_err(|error| error.to_string())?;
    Ok(file.into_inner())
}

/// A frame of lines that lie within the corners.
fn outline(image: &mut RgbImage, corners: [f64; 4], line: u32, color: Rgb<u8>) {
    let (width, height) = image.dimensions();
    let side = |value: f64, end: u32| (value.round().max(0.0) as u32).min(end);
    let [x1, y1, x2, y2] = corners;
    let (x1, x2) = (side(x1, width), side(x2, width));
    let (y1, y2) = (side(y1, height), side(y2, height));
    for y in y1..y2 {
        for x in x1..x2 {
            let is_inside = x >= x1 + line && x + line < x2 && y >= y1 + line && y + line < y2;
            if !is_inside {
                image.put_pixel(x, y, color);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outline_of_a_box_is_drawn_and_its_inside_is_left() {
        let mut png = Cursor::new(Vec::new());
        RgbImage::new(40, 20).write_to(&mut png, ImageFormat::Png).unwrap();
        let picture = Picture::of_file(png.into_inner()).unwrap();
        let place = Place::Box([10.0, 5.0, 30.0, 15.0]);
        let found = [Found { place, label: None, confidence: None }];
        let drawn = draw(&picture, &found, ImageFormat::Png).unwrap();
        let drawn = vrft_vision::decode(&drawn).unwrap();
        let at = |x: usize, y: usize| {
            let from = 3 * (y * drawn.width + x);
            [drawn.rgb[from], drawn.rgb[from + 1], drawn.rgb[from + 2]]
        };
        for (x, y) in [(10, 5), (29, 14), (11, 10), (20, 6)] {
            assert_eq!(at(x, y), COLORS[0], "{x} {y}");
        }
        for (x, y) in [(9, 5), (30, 14), (12, 7), (20, 10)] {
            assert_eq!(at(x, y), [0; 3], "{x} {y}");
        }
    }

    #[test]
    fn a_picture_is_written_as_its_name_says() {
        let mut png = Cursor::new(Vec::new());
        RgbImage::new(8, 8).write_to(&mut png, ImageFormat::Png).unwrap();
        let picture = Picture::of_file(png.into_inner()).unwrap();
        for name in ["q.jpg", "q.JPEG", "q.png", "q.webp", "q.bmp", "q.tiff"] {
            let format = drawn_as(Path::new(name)).unwrap();
            let file = draw(&picture, &[], format).unwrap();
            assert_eq!(image::guess_format(&file).unwrap(), format, "{name}");
        }
        for name in ["q", "q.svg", "q.gif", "jpg"] {
            assert!(drawn_as(Path::new(name)).unwrap_err().contains(".png, .jpg, .webp"), "{name}");
        }
    }
}
