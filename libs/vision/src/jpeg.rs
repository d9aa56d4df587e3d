//! JPEG to pixels, bit for bit as libjpeg-turbo makes them, which Pillow and torchvision decode with.
//!
//! The decoder of `image` rounds otherwise and differs in every seventh value, by up to 4 of 255.

use std::io::{BufRead, Read, Seek, SeekFrom};

use image::metadata::Orientation;
use image::{DynamicImage, ImageFormat, RgbImage};
use libjpeg_turbo_rs::{Decoder, Image, JpegError, PixelFormat};

use crate::header::MAX_PIXELS;
use crate::{Header, VisionError};

const START_OF_IMAGE: [u8; 2] = [0xff, 0xd8];
const END_OF_IMAGE: u8 = 0xd9;
const START_OF_SCAN: u8 = 0xda;
/// The segment that EXIF stands in, and how it begins.
const APP1: u8 = 0xe1;
const EXIF: &[u8] = b"Exif\0\0";

/// Whether these bytes start as a JPEG does.
pub(crate) fn is_jpeg(bytes: &[u8]) -> bool {
    bytes.starts_with(&START_OF_IMAGE)
}

/// The picture as RGB, turned upright by this orientation.
pub(crate) fn decode(bytes: &[u8], orientation: Orientation) -> Result<DynamicImage, VisionError> {
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
    image.apply_orientation(orientation);
    Ok(image)
}

fn rgb(bytes: &[u8]) -> Result<Image, JpegError> {
    let mut decoder = Decoder::new(bytes)?;
    decoder.set_max_pixels(MAX_PIXELS);
    decoder.set_output_format(PixelFormat::Rgb);
    decoder.decode_image()
}

/// Reads segments up to the frame header, which has the size; EXIF stands before it. A damaged EXIF turns nothing.
pub(crate) fn read_header<R: BufRead + Seek>(reader: &mut R) -> Result<Header, VisionError> {
    let n_bytes = reader.seek(SeekFrom::End(0)).map_err(VisionError::Io)? as usize;
    reader.seek(SeekFrom::Start(START_OF_IMAGE.len() as u64)).map_err(VisionError::Io)?;
    let damaged = |message: &str| VisionError::Jpeg { n_bytes, message: message.to_owned() };
    let mut orientation = None;
    loop {
        let marker = next_segment(reader).map_err(|_eof| VisionError::BreaksOff { n_bytes })?;
        if matches!(marker, START_OF_SCAN | END_OF_IMAGE) {
            return Err(damaged("no frame header before the pixels"));
        }
        let segment = segment(reader).map_err(|_eof| VisionError::BreaksOff { n_bytes })?;
        if marker == APP1 && orientation.is_none() {
            let exif = segment.strip_prefix(EXIF);
            orientation = exif.and_then(Orientation::from_exif_chunk);
        }
        if is_frame_header(marker) {
            // Precision, height, width.
            let [_, h1, h0, w1, w0] = *segment
                .first_chunk::<5>()
                .ok_or_else(|| damaged("a frame header without a size"))?;
            let side = |bytes| u32::from(u16::from_be_bytes(bytes));
            return Ok(Header {
                format: ImageFormat::Jpeg,
                stored: (side([w1, w0]), side([h1, h0])),
                orientation: orientation.unwrap_or(Orientation::NoTransforms),
            });
        }
    }
}

/// The marker of the next segment; bytes between segments are passed over.
fn next_segment(reader: &mut impl Read) -> std::io::Result<u8> {
    let mut byte = [0];
    while byte != [0xff] {
        reader.read_exact(&mut byte)?;
    }
    while byte == [0xff] {
        reader.read_exact(&mut byte)?;
    }
    Ok(byte[0])
}

/// What a segment holds; its length counts itself.
fn segment(reader: &mut impl Read) -> std::io::Result<Vec<u8>> {
    let mut length = [0; 2];
    reader.read_exact(&mut length)?;
    let mut segment = vec![0; usize::from(u16::from_be_bytes(length)).saturating_sub(2)];
    reader.read_exact(&mut segment)?;
    Ok(segment)
}

/// Start of a frame of any process; 0xc4, 0xc8 and 0xcc are tables and extensions.
fn is_frame_header(marker: u8) -> bool {
    matches!(marker, 0xc0..=0xcf) && !matches!(marker, 0xc4 | 0xc8 | 0xcc)
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
