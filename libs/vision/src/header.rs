//! What the header of an encoded image says: its format, its size, and how EXIF turns it. No pixel is decoded.

use std::io::{BufRead, Read, Seek, SeekFrom};

use image::metadata::Orientation;
use image::{ImageDecoder, ImageFormat, ImageReader};

use crate::VisionError;
use crate::jpeg;

/// Most pixels that an image may have: where Pillow, too, takes a header for an attack on memory.
pub const MAX_PIXELS: usize = 178_956_970;

/// Bytes of one pixel in the widest form that is decoded: four channels of 16 bits.
const MAX_PIXEL_BYTES: usize = 8;

/// Most bytes that Deflate, the compression of PNG, packs into one.
const MAX_DEFLATE_RATIO: u64 = 1032;

/// The formats that are decoded, as messages name them.
pub(crate) const FORMATS: &str = "PNG, JPEG, WebP, BMP, GIF, TIFF and PNM";

/// No compression that is decoded here packs more than so many bytes of pixels into one: LZW comes closest.
const MAX_RATIO: u64 = 1 << 14;

/// Bytes of pixels that a file may claim whatever its length: it costs little to find out that they are not there.
const MIN_CLAIM: u64 = 64 << 20;

/// The header of an encoded image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The format of the file.
    pub format: ImageFormat,
    /// Width and height in pixels as they lie in the file, before EXIF turns the image.
    pub stored: (u32, u32),
    /// How the image has to be turned to stand upright.
    pub orientation: Orientation,
}

impl Header {
    /// Reads the header of an image that is in memory.
    ///
    /// # Errors
    /// As [`Header::read`].
    pub fn of(bytes: &[u8]) -> Result<Self, VisionError> {
        Self::read(&mut std::io::Cursor::new(bytes))
    }

    /// Reads the header of an image from the start of `reader`, and no more of the file than that takes.
    ///
    /// # Errors
    /// Bytes that are no image or one of a format that is not decoded (by its name), a damaged header, an image
    /// without pixels or with more than [`MAX_PIXELS`].
    pub fn read<R: BufRead + Seek>(reader: &mut R) -> Result<Self, VisionError> {
        Self::read_within(reader, MAX_PIXELS)
    }

    /// [`Header::read`] of an image that may have no more than `max_pixels`, and never more than [`MAX_PIXELS`].
    ///
    /// # Errors
    /// As [`Header::read`].
    pub fn read_within<R: BufRead + Seek>(
        reader: &mut R,
        max_pixels: usize,
    ) -> Result<Self, VisionError> {
        let n_bytes = reader.seek(SeekFrom::End(0)).map_err(VisionError::Io)?;
        reader.rewind().map_err(VisionError::Io)?;
        let mut start = Vec::new();
        reader.take(32).read_to_end(&mut start).map_err(VisionError::Io)?;
        reader.rewind().map_err(VisionError::Io)?;
        let header = if jpeg::is_jpeg(&start) {
            jpeg::read_header(reader)?
        } else {
            other_than_jpeg(reader, &start, n_bytes)?
        };
        header.check(n_bytes, max_pixels.min(MAX_PIXELS))?;
        Ok(header)
    }

    /// Width and height in pixels of the image as it is shown: upright.
    pub fn displayed(&self) -> (u32, u32) {
        let (width, height) = self.stored;
        if self.swaps_sides() { (height, width) } else { (width, height) }
    }

    /// How far a place in its pixels may be along each side while it is not known whether they are those of the image as
    /// stored or as shown: the longer side for both where EXIF swaps them.
    pub fn reach(&self) -> [u32; 2] {
        let (width, height) = self.displayed();
        if self.swaps_sides() { [width.max(height); 2] } else { [width, height] }
    }

    /// Whether the upright image is as wide as the stored one is high.
    pub fn swaps_sides(&self) -> bool {
        use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
        matches!(self.orientation, Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH)
    }

    /// The format's name, as it is sent along with the bytes: `png`, `jpeg`, `webp`, `bmp`, `gif`, `tiff` or `pbm`.
    pub fn encoding(&self) -> &'static str {
        match self.format {
            ImageFormat::Jpeg => "jpeg",
            other => other.extensions_str().first().copied().unwrap_or("image"),
        }
    }

    fn check(&self, n_bytes: u64, max: usize) -> Result<(), VisionError> {
        let (width, height) = (self.stored.0 as usize, self.stored.1 as usize);
        let n_pixels = width.saturating_mul(height);
        if n_pixels == 0 {
            return Err(VisionError::Empty { width, height });
        }
        if n_pixels > max {
            return Err(VisionError::TooLarge { width, height, max });
        }
        // A PNG has at least one bit a pixel.
        if self.format == ImageFormat::Png
            && n_pixels as u64 / 8 > n_bytes.saturating_mul(MAX_DEFLATE_RATIO)
        {
            return Err(VisionError::Impossible { width, height, n_bytes });
        }
        Ok(())
    }
}

/// A decoder that allocates no more than the largest image takes.
pub(crate) fn decoder<'a, R: BufRead + Seek + 'a>(
    reader: R,
) -> image::ImageResult<(impl ImageDecoder + 'a, ImageFormat)> {
    let reader = ImageReader::new(reader).with_guessed_format()?;
    let format = reader.format().unwrap_or(ImageFormat::Png);
    let mut decoder = reader.into_decoder()?;
    let mut limits = image::Limits::no_limits();
    limits.max_alloc = Some((MAX_PIXELS * MAX_PIXEL_BYTES) as u64);
    decoder.set_limits(limits)?;
    Ok((decoder, format))
}

fn other_than_jpeg<R: BufRead + Seek>(
    reader: &mut R,
    start: &[u8],
    n_bytes: u64,
) -> Result<Header, VisionError> {
    if start.starts_with(LFS_POINTER) {
        return Err(VisionError::LfsPointer);
    }
    if let Some(name) = refused_format(start) {
        return Err(VisionError::Format { name });
    }
    let failed = |source| VisionError::Decode { n_bytes: n_bytes as usize, source };
    let (mut decoder, format) = decoder(reader).map_err(failed)?;
    let orientation = decoder.orientation().map_err(failed)?;
    let (width, height) = decoder.dimensions();
    // What is claimed is allocated before it is found to be missing. What is too large anyway is said to be so later.
    let is_allowed = u64::from(width) * u64::from(height) <= MAX_PIXELS as u64;
    if is_allowed && decoder.total_bytes() > MIN_CLAIM.max(n_bytes.saturating_mul(MAX_RATIO)) {
        let (width, height) = (width as usize, height as usize);
        return Err(VisionError::Impossible { width, height, n_bytes });
    }
    Ok(Header { format, stored: (width, height), orientation })
}

/// How a file begins that stands for one which Git keeps elsewhere.
const LFS_POINTER: &[u8] = b"version https://git-lfs";

/// The name of a format that is known and not decoded.
pub(crate) fn refused_format(start: &[u8]) -> Option<&'static str> {
    let brand = start.get(4..12).unwrap_or_default();
    match brand {
        b"ftypavif" | b"ftypavis" => return Some("AVIF"),
        b"ftypheic" | b"ftypheix" | b"ftyphevc" | b"ftypmif1" | b"ftypmsf1" => return Some("HEIC"),
        _ if brand.starts_with(b"jP  ") => return Some("JPEG 2000"),
        _ if brand.starts_with(b"JXL ") => return Some("JPEG XL"),
        _ if brand.starts_with(b"ftyp") => return Some("video (MP4)"),
        _ => {}
    }
    let prefixes: [(&[u8], &str); 8] = [
        (b"\xff\x4f\xff\x51", "JPEG 2000"),
        (b"\xff\x0a", "JPEG XL"),
        (b"%PDF", "PDF"),
        (b"8BPS", "Photoshop"),
        (b"\0\0\x01\0", "icon (ICO)"),
        (b"\x76\x2f\x31\x01", "OpenEXR"),
        (b"<svg", "SVG"),
        (b"<?xml", "XML"),
    ];
    let found = prefixes.iter().find(|(prefix, _)| start.starts_with(prefix));
    found.map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use image::{DynamicImage, RgbImage};

    use super::*;

    fn encoded(format: ImageFormat, width: u32, height: u32) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        DynamicImage::from(RgbImage::new(width, height)).write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn a_pointer_of_git_lfs_is_told_with_what_fetches_the_picture() {
        let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 7\n";
        let error = Header::of(pointer).unwrap_err();
        assert!(error.to_string().contains("git lfs pull"), "{error}");
    }

    #[test]
    fn every_format_says_its_size() {
        use ImageFormat::{Bmp, Gif, Jpeg, Png, Pnm, Tiff, WebP};
        for format in [Png, Jpeg, WebP, Bmp, Gif, Tiff, Pnm] {
            let header = Header::of(&encoded(format, 7, 5)).unwrap();
            assert_eq!((header.format, header.displayed()), (format, (7, 5)));
        }
    }

    #[test]
    fn what_a_file_cannot_hold_is_refused_before_it_is_allocated() {
        let mut gif = encoded(ImageFormat::Gif, 7, 5);
        gif[6..10].copy_from_slice(&[0, 40, 0, 40]);
        let message = Header::of(&gif).unwrap_err().to_string();
        assert!(message.starts_with("10240 × 10240 pixels do not fit into a file"), "{message}");
        let message = Header::of(b"P6 9000 9000 255\n").unwrap_err().to_string();
        assert!(message.starts_with("9000 × 9000 pixels do not fit into a file"), "{message}");
    }

    #[test]
    fn a_smaller_limit_may_be_set() {
        let png = encoded(ImageFormat::Png, 7, 5);
        let read = |max| Header::read_within(&mut Cursor::new(&png), max);
        assert!(read(35).is_ok());
        assert!(matches!(read(34), Err(VisionError::TooLarge { max: 34, .. })));
    }

    #[test]
    fn a_png_with_a_huge_size_is_refused_before_it_is_decoded() {
        let mut bytes = encoded(ImageFormat::Png, 7, 5);
        bytes[16..24].copy_from_slice(&[0, 0, 0xfd, 0xe8, 0, 0, 0xfd, 0xe8]);
        // The checksum of the changed header is that of 65,000 × 65,000.
        let crc = crc32(&bytes[12..29]);
        bytes[29..33].copy_from_slice(&crc.to_be_bytes());
        let message = Header::of(&bytes).unwrap_err().to_string();
        assert_eq!(
            message,
            "65000 × 65000 pixels are more than an image may have (178956970): scale it down"
        );
        assert_eq!(crate::decode(&bytes).unwrap_err().to_string(), message);
    }

    #[test]
    fn a_png_too_short_for_its_size_is_refused() {
        let mut bytes = encoded(ImageFormat::Png, 7, 5);
        bytes[16..24].copy_from_slice(&[0, 0, 0x27, 0x10, 0, 0, 0x27, 0x10]);
        let crc = crc32(&bytes[12..29]);
        bytes[29..33].copy_from_slice(&crc.to_be_bytes());
        let message = Header::of(&bytes).unwrap_err().to_string();
        assert!(message.starts_with("10000 × 10000 pixels do not fit into"), "{message}");
    }

    #[test]
    fn a_format_that_is_not_decoded_is_named() {
        let check = |bytes: &[u8], name: &str| {
            let message = Header::of(bytes).unwrap_err().to_string();
            assert!(message.starts_with(&format!("{name} is not decoded")), "{message}");
        };
        check(b"\0\0\0\x20ftypavif\0\0\0\0", "AVIF");
        check(b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000");
        check(b"%PDF-1.7", "PDF");
    }

    /// PNG's checksum, bit by bit.
    fn crc32(bytes: &[u8]) -> u32 {
        let bit = |crc: u32| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
        let byte = |crc: u32, byte: &u8| (0..8).fold(crc ^ u32::from(*byte), |crc, _| bit(crc));
        !bytes.iter().fold(u32::MAX, byte)
    }
}
