//! A frame as it arrives, and as it is kept.

use image::RgbImage;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::{self, FilterType};

use crate::{Fingerprint, StreamError, planar};

/// Longest side of raw pixels: what a camera says of itself may be any number. Files have their own limit.
const MAX_SIDE: u32 = 16_384;

/// Encodings that are files of pictures; MJPEG is JPEG, a file for each frame.
const FILES: [&str; 13] = [
    "jpeg", "jpg", "jpe", "mjpeg", "png", "webp", "bmp", "gif", "tiff", "pbm", "pgm", "ppm", "pam",
];

/// Quality of kept frames: a tenth of the bytes of a lossless file, and no visible blocks.
const JPEG_QUALITY: u8 = 92;

/// Pixels in dora's image convention: bytes, and metadata that says what they are.
#[derive(Debug, Clone, Copy)]
pub struct RawFrame<'a> {
    /// All bytes of the picture.
    pub bytes: &'a [u8],
    /// `rgb8`, `bgr8`, `yuv420`, `jpeg`, …
    pub encoding: &'a str,
    /// Pixels; file formats know better themselves.
    pub width: u32,
    /// Pixels.
    pub height: u32,
}

/// Whether frames of an encoding are files of pictures, which know their own size: any that [`vrft_vision::decode`] reads.
pub fn is_file(encoding: &str) -> bool {
    FILES.contains(&encoding.to_ascii_lowercase().as_str())
}

/// A frame that is kept: encoded, since many are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Name by which others speak of it.
    pub id: String,
    /// Milliseconds at which the frame was offered, on the clock of the caller.
    pub at_millis: u64,
    /// The frame as a JPEG file.
    pub jpeg: Vec<u8>,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Pixels that it came with: others measure boxes in these.
    pub source_size: (u32, u32),
    /// What it looks like.
    pub fingerprint: Fingerprint,
}

impl RawFrame<'_> {
    /// The pixels.
    ///
    /// # Errors
    /// An unknown encoding, bytes that do not fit the sides, a file that cannot be decoded.
    pub fn decode(&self) -> Result<RgbImage, StreamError> {
        match self.encoding.to_ascii_lowercase().as_str() {
            "rgb8" => self.packed(3, |p| [p[0], p[1], p[2]]),
            "bgr8" => self.packed(3, |p| [p[2], p[1], p[0]]),
            "rgba8" => self.packed(4, |p| [p[0], p[1], p[2]]),
            "bgra8" => self.packed(4, |p| [p[2], p[1], p[0]]),
            "mono8" => self.packed(1, |p| [p[0]; 3]),
            "yuv420" | "i420" => self.planes(planar::YUV420),
            "nv12" => self.planes(planar::NV12),
            "yuyv" | "yuy2" | "yuv422" => self.planes(planar::YUYV),
            file if is_file(file) => self.file(),
            _ => Err(StreamError::Encoding(self.encoding.to_owned())),
        }
    }

    fn packed(
        &self,
        n_channels: usize,
        rgb: impl Fn(&[u8]) -> [u8; 3],
    ) -> Result<RgbImage, StreamError> {
        self.check_size(1)?;
        self.check_bytes(self.width as usize * self.height as usize * n_channels)?;
        let pixels = self.bytes.chunks_exact(n_channels).flat_map(rgb).collect();
        RgbImage::from_raw(self.width, self.height, pixels).ok_or_else(|| self.bad_size())
    }

    fn planes(&self, convert: planar::Convert) -> Result<RgbImage, StreamError> {
        self.check_size(2)?;
        self.check_bytes(convert.n_bytes(self.width as usize, self.height as usize))?;
        let pixels = convert.to_rgb(self.bytes, self.width as usize, self.height as usize);
        RgbImage::from_raw(self.width, self.height, pixels).ok_or_else(|| self.bad_size())
    }

    /// A file stands upright, as the policy is shown it: EXIF turns what a phone took.
    fn file(&self) -> Result<RgbImage, StreamError> {
        let encoding = || self.encoding.to_owned();
        let pixels = vrft_vision::decode(self.bytes)
            .map_err(|source| StreamError::Decode { encoding: encoding(), source })?;
        let (width, height) = (pixels.width as u32, pixels.height as u32);
        RgbImage::from_raw(width, height, pixels.rgb).ok_or_else(|| StreamError::Size {
            encoding: encoding(),
            width,
            height,
        })
    }

    fn check_size(&self, multiple: u32) -> Result<(), StreamError> {
        let fine = |side: u32| (1..=MAX_SIDE).contains(&side) && side.is_multiple_of(multiple);
        if fine(self.width) && fine(self.height) { Ok(()) } else { Err(self.bad_size()) }
    }

    fn bad_size(&self) -> StreamError {
        let encoding = self.encoding.to_owned();
        StreamError::Size { encoding, width: self.width, height: self.height }
    }

    fn check_bytes(&self, expected: usize) -> Result<(), StreamError> {
        let encoding = self.encoding.to_owned();
        let got = self.bytes.len();
        if got == expected {
            Ok(())
        } else {
            let (width, height) = (self.width, self.height);
            Err(StreamError::Bytes { encoding, width, height, expected, got })
        }
    }
}

impl Frame {
    /// A frame that was kept as a JPEG file before.
    ///
    /// # Errors
    /// Bytes that cannot be decoded.
    pub fn of_jpeg(id: &str, jpeg: Vec<u8>) -> Result<Self, StreamError> {
        let raw = RawFrame { bytes: &jpeg, encoding: "jpeg", width: 0, height: 0 };
        let image = raw.decode()?;
        let (width, height) = image.dimensions();
        let fingerprint = Fingerprint::of(&image);
        let (id, source_size) = (id.to_owned(), (width, height));
        Ok(Self { id, at_millis: 0, jpeg, width, height, source_size, fingerprint })
    }

    /// The pixels, as they were but for what JPEG leaves out.
    ///
    /// # Errors
    /// None that a frame which was encoded here can have.
    pub fn decode(&self) -> Result<RgbImage, StreamError> {
        let bytes = self.jpeg.as_slice();
        let width = self.width;
        let height = self.height;
        RawFrame { bytes, encoding: "jpeg", width, height }.decode()
    }
}

/// The picture with its longest side at most this long.
pub fn shrink(image: RgbImage, max_side: u32) -> RgbImage {
    let (width, height) = image.dimensions();
    let longest = width.max(height);
    if longest <= max_side {
        return image;
    }
    let scaled = |side: u32| {
        let scaled = u64::from(side) * u64::from(max_side) / u64::from(longest);
        u32::try_from(scaled).unwrap_or(max_side).max(1)
    };
    imageops::resize(&image, scaled(width), scaled(height), FilterType::Triangle)
}

/// A JPEG file of the picture.
pub(crate) fn jpeg(image: &RgbImage) -> Result<Vec<u8>, StreamError> {
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY)
        .encode_image(image)
        .map_err(StreamError::Encode)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
