//! A picture as the policy is shown it, and the size that it came with.

use std::io::Cursor;
use std::path::Path;

use image::imageops::{self, FilterType};
use image::metadata::Orientation;
use image::{ImageFormat, RgbImage};
use vrft_stream::RawFrame;
use vrft_vision::Header;

use crate::AnswerError;

/// An encoded picture; places in it are told in pixels of the original.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// The bytes of an image file, as the policy is shown it.
    pub file: Vec<u8>,
    /// Width and height of that file in pixels, upright.
    pub shown: (u32, u32),
    /// Width and height of the picture as it came, upright.
    pub original: (u32, u32),
}

impl Picture {
    /// An image file in memory, shown as it is.
    ///
    /// # Errors
    /// Bytes that are no image of a format that is decoded, or that claim a size which they cannot have.
    pub fn of_file(file: Vec<u8>) -> Result<Self, String> {
        let header = Header::of(&file).map_err(|error| error.to_string())?;
        let size = header.displayed();
        Ok(Self { file, shown: size, original: size })
    }

    /// An image file on the disk, shown as it is.
    ///
    /// # Errors
    /// A file that cannot be read, is no image, or breaks off.
    pub fn open(path: &Path) -> Result<Self, AnswerError> {
        let failed = |source| AnswerError::File { path: path.to_owned(), source };
        let refused = |why| AnswerError::Target { name: path.display().to_string(), why };
        // A pipe or a device may never end.
        if !std::fs::metadata(path).map_err(failed)?.is_file() {
            return Err(refused("a picture is a regular file".into()));
        }
        let file = std::fs::read(path).map_err(failed)?;
        let picture = Self::of_file(file).map_err(refused)?;
        // Where it breaks off is found by who decodes it, who no longer knows its name.
        vrft_vision::decode(&picture.file).map_err(|error| refused(error.to_string()))?;
        Ok(picture)
    }

    /// The picture as a file that stands upright by itself, and the end of such a file's name: as it came, or as PNG where
    /// EXIF turns it. Places in it mean the same to whoever reads EXIF and to whoever does not.
    ///
    /// # Errors
    /// A file that cannot be decoded.
    pub fn upright(&self) -> Result<(Vec<u8>, &'static str), String> {
        let failed = |error: &dyn std::fmt::Display| error.to_string();
        let header = Header::of(&self.file).map_err(|error| failed(&error))?;
        if header.orientation == Orientation::NoTransforms {
            let ends = header.format.extensions_str();
            return Ok((self.file.clone(), ends.first().copied().unwrap_or("png")));
        }
        let pixels = vrft_vision::decode(&self.file).map_err(|error| failed(&error))?;
        let (width, height) = (pixels.width as u32, pixels.height as u32);
        let pixels =
            RgbImage::from_raw(width, height, pixels.rgb).ok_or("a picture without pixels")?;
        let mut file = Cursor::new(Vec::new());
        pixels.write_to(&mut file, ImageFormat::Png).map_err(|error| failed(&error))?;
        Ok((file.into_inner(), "png"))
    }

    /// A camera's frame, scaled by `ratio`.
    ///
    /// # Errors
    /// An unknown encoding, bytes that do not fit the sides, a file that cannot be decoded.
    pub fn of_frame(frame: &RawFrame<'_>, ratio: f64) -> Result<Self, String> {
        if vrft_stream::is_file(frame.encoding) && ratio == 1.0 {
            return Self::of_file(frame.bytes.to_vec());
        }
        let pixels = frame.decode().map_err(|error| error.to_string())?;
        let original = pixels.dimensions();
        let pixels = scaled(pixels, ratio);
        Ok(Self { shown: pixels.dimensions(), file: bitmap(&pixels)?, original })
    }
}

fn scaled(pixels: RgbImage, ratio: f64) -> RgbImage {
    if ratio == 1.0 {
        return pixels;
    }
    let side = |side: u32| (f64::from(side) * ratio).round().max(1.0) as u32;
    let (width, height) = pixels.dimensions();
    imageops::resize(&pixels, side(width), side(height), FilterType::Triangle)
}

/// The pixels as a file without compression, which is written and read in no time.
fn bitmap(pixels: &RgbImage) -> Result<Vec<u8>, String> {
    let mut file = Cursor::new(Vec::new());
    pixels.write_to(&mut file, ImageFormat::Bmp).map_err(|error| error.to_string())?;
    Ok(file.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame<'a>(bytes: &'a [u8], encoding: &'a str) -> RawFrame<'a> {
        RawFrame { bytes, encoding, width: 4, height: 2 }
    }

    #[test]
    fn a_frame_is_shown_with_the_pixels_that_it_has() {
        let bgr: Vec<u8> = (0..24).collect();
        let picture = Picture::of_frame(&frame(&bgr, "bgr8"), 1.0).unwrap();
        assert_eq!((picture.shown, picture.original), ((4, 2), (4, 2)));
        let shown = vrft_vision::decode(&picture.file).unwrap();
        assert_eq!(shown.rgb[..6], [2, 1, 0, 5, 4, 3]);
    }

    #[test]
    fn a_scaled_frame_remembers_its_size() {
        let picture = Picture::of_frame(&frame(&[7; 24], "rgb8"), 2.5).unwrap();
        assert_eq!((picture.shown, picture.original), ((10, 5), (4, 2)));
    }

    #[test]
    fn an_image_file_stays_as_it_is() {
        let mut png = Cursor::new(Vec::new());
        RgbImage::new(6, 3).write_to(&mut png, ImageFormat::Png).unwrap();
        let png = png.into_inner();
        // What the camera says of the size does not count.
        let picture = Picture::of_frame(&frame(&png, "PNG"), 1.0).unwrap();
        assert_eq!((picture.file, picture.original), (png, (6, 3)));
    }

    #[test]
    fn what_is_no_picture_is_refused() {
        assert!(Picture::of_frame(&frame(&[7; 23], "rgb8"), 1.0).is_err());
        assert!(Picture::of_frame(&frame(&[7; 24], "h264"), 1.0).unwrap_err().contains("h264"));
        assert!(Picture::of_file(b"no picture".to_vec()).is_err());
        let error = Picture::open("nowhere/photo.jpg".as_ref()).unwrap_err().to_string();
        assert!(error.contains("nowhere/photo.jpg"), "{error}");
        let error = Picture::open("/dev/zero".as_ref()).unwrap_err().to_string();
        assert!(error.contains("regular file"), "{error}");
    }
}
