//! JPEG to pixels, bit for bit as libjpeg-turbo makes them, which Pillow and torchvision decode with.
//!
//! The decoder of `image` rounds otherwise and differs in every seventh value, by up to 4 of 255.

use std::io::Cursor;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, RgbImage};
use libjpeg_turbo_rs::{Decoder, Image, JpegError, PixelFormat};

use crate::VisionError;

/// Where Pillow too takes a header for an attack on memory.
const MAX_PIXELS: usize = 178_956_970;
const START_OF_IMAGE: [u8; 2] = [0xff, 0xd8];
const END_OF_IMAGE: u8 = 0xd9;
const START_OF_SCAN: u8 = 0xda;

/// Whether these bytes start as a JPEG does.
pub(crate) fn is_jpeg(bytes: &[u8]) -> bool {
    bytes.starts_with(&START_OF_IMAGE)
}

/// The picture as RGB, turned upright where EXIF says so.
pub(crate) fn decode(bytes: &[u8]) -> Result<DynamicImage, VisionError> {
    let n_bytes = bytes.len();
    // Decoders fill what is missing with gray, and gray would be trained on.
    if breaks_off(bytes) {
        return Err(VisionError::BreaksOff { n_bytes });
    }
    let pixels =
        rgb(bytes).map_err(|error| VisionError::Jpeg { n_bytes, message: error.to_string() })?;
    let (width, height) = (pixels.width as u32, pixels.height as u32);
    let pixels = RgbImage::from_raw(width, height, pixels.data);
    let pixels = pixels.ok_or(VisionError::Empty { width: 0, height: 0 })?;
    let mut image = DynamicImage::from(pixels);
    image.apply_orientation(orientation(bytes));
    Ok(image)
}

fn rgb(bytes: &[u8]) -> Result<Image, JpegError> {
    let mut decoder = Decoder::new(bytes)?;
    decoder.set_max_pixels(MAX_PIXELS);
    decoder.set_output_format(PixelFormat::Rgb);
    decoder.decode_image()
}

/// As it is where there is no EXIF, or a damaged one.
fn orientation(bytes: &[u8]) -> Orientation {
    let reader = ImageReader::with_format(Cursor::new(bytes), ImageFormat::Jpeg);
    let found = reader.into_decoder().and_then(|mut decoder| decoder.orientation());
    found.unwrap_or(Orientation::NoTransforms)
}

/// Whether these bytes start as a JPEG and stop before its end marker.
fn breaks_off(bytes: &[u8]) -> bool {
    let Some(mut rest) = bytes.strip_prefix(&START_OF_IMAGE) else { return false };
    while let Some((marker, after)) = next_marker(rest) {
        if marker == END_OF_IMAGE {
            return false;
        }
        // A segment's length counts itself. Pixels follow the header of a scan without a length of their own.
        let Some(&[high, low]) = after.first_chunk::<2>() else { return true };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let Some(next) = after.get(length..) else { return true };
        rest = if marker == START_OF_SCAN { skip_pixels(next) } else { next };
    }
    true
}

/// The marker that comes next and what follows it; any number of 0xff may stand before one.
fn next_marker(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let start = bytes.iter().position(|&byte| byte == 0xff)?;
    let padded = &bytes[start..];
    let code = padded.iter().position(|&byte| byte != 0xff)?;
    Some((padded[code], &padded[code + 1..]))
}

/// From the next marker on that is neither an escaped 0xff (0) nor a restart (0xd0 to 0xd7).
fn skip_pixels(bytes: &[u8]) -> &[u8] {
    let is_marker = |pair: &[u8]| pair[0] == 0xff && !matches!(pair[1], 0 | 0xd0..=0xd7 | 0xff);
    let end = bytes.windows(2).position(is_marker);
    &bytes[end.unwrap_or(bytes.len())..]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Start, a comment that holds an end marker, a scan with an escape and a restart, end.
    const WHOLE: &[u8] = &[
        0xff, 0xd8, 0xff, 0xfe, 0, 4, 0xff, 0xd9, 0xff, 0xff, 0xda, 0, 3, 1, 7, 0xff, 0, 0xff,
        0xd0, 8, 0xff, 0xd9,
    ];

    #[test]
    fn only_the_whole_file_is_whole() {
        assert!(!breaks_off(WHOLE));
        for n_bytes in 2..WHOLE.len() {
            assert!(breaks_off(&WHOLE[..n_bytes]), "{n_bytes} bytes");
        }
    }

    #[test]
    fn what_follows_the_end_does_not_matter() {
        assert!(!breaks_off(&[WHOLE, b"trailing"].concat()));
    }

    #[test]
    fn other_formats_are_not_judged() {
        assert!(!breaks_off(b"\x89PNG"));
        assert!(!breaks_off(b""));
    }
}
