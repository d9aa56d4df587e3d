//! Encoded images to RGB pixels.

use std::io::Cursor;

use image::{DynamicImage, RgbImage, Rgba};

use crate::header::decoder;
use crate::{Header, VisionError, jpeg};

/// An 8-bit RGB picture, rows from the top, three bytes a pixel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pixels {
    /// Width in pixels; at least 1.
    pub width: usize,
    /// Height in pixels; at least 1.
    pub height: usize,
    /// `width * height * 3` bytes.
    pub rgb: Vec<u8>,
}

impl Pixels {
    /// Takes raw pixels, as a camera delivers them; an error if their number does not fit the size.
    pub fn try_new(width: usize, height: usize, rgb: Vec<u8>) -> Result<Self, VisionError> {
        let expected = width.saturating_mul(height).saturating_mul(3);
        if expected == 0 {
            return Err(VisionError::Empty { width, height });
        }
        if rgb.len() != expected {
            return Err(VisionError::RawPixels { width, height, expected, got: rgb.len() });
        }
        Ok(Self { width, height, rgb })
    }
}

/// Decodes PNG, JPEG, WebP, BMP, GIF, TIFF or PNM: the first frame or page, turned upright where EXIF says so,
/// transparency laid on white.
///
/// # Errors
/// What [`Header::read`] refuses, before anything is allocated; pixels that are damaged or break off.
pub fn decode(bytes: &[u8]) -> Result<Pixels, VisionError> {
    let header = Header::of(bytes)?;
    let image = if jpeg::is_jpeg(bytes) {
        jpeg::decode(bytes, header.orientation)?
    } else {
        read(bytes, &header)
            .map_err(|source| VisionError::Decode { n_bytes: bytes.len(), source })?
    };
    let rgb = if image.color().has_alpha() { on_white(image) } else { image.into_rgb8() };
    Pixels::try_new(rgb.width() as usize, rgb.height() as usize, rgb.into_raw())
}

fn read(bytes: &[u8], header: &Header) -> image::ImageResult<DynamicImage> {
    let (decoder, _) = decoder(Cursor::new(bytes))?;
    let mut image = DynamicImage::from_decoder(decoder)?;
    image.apply_orientation(header.orientation);
    Ok(image)
}

/// Pillow's `alpha_composite` over white, to the last bit.
fn on_white(image: DynamicImage) -> RgbImage {
    let rgba = image.into_rgba8();
    RgbImage::from_fn(rgba.width(), rgba.height(), |x, y| {
        let Rgba([red, green, blue, alpha]) = *rgba.get_pixel(x, y);
        image::Rgb([red, green, blue].map(|color| blend(color, alpha)))
    })
}

/// `(color * alpha + 255 * (255 - alpha)) / 255`, rounded, in Pillow's fixed point of 7 bits.
fn blend(color: u8, alpha: u8) -> u8 {
    let (color, alpha) = (u32::from(color), u32::from(alpha));
    let sum = ((color * alpha + 255 * (255 - alpha)) << 7) + (0x80 << 7);
    ((((sum >> 8) + sum) >> 8) >> 7) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn png(image: impl Into<DynamicImage>) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image.into().write_to(&mut bytes, image::ImageFormat::Png).expect("encodes");
        bytes.into_inner()
    }

    #[test]
    fn an_rgb_png_comes_back_as_it_was() {
        let image = RgbImage::from_fn(3, 2, |x, y| image::Rgb([x as u8, y as u8, 200]));
        let pixels = decode(&png(image.clone())).expect("decodes");
        assert_eq!((pixels.width, pixels.height), (3, 2));
        assert_eq!(pixels.rgb, image.into_raw());
    }

    #[test]
    fn gray_becomes_three_equal_channels() {
        let pixels =
            decode(&png(image::GrayImage::from_pixel(1, 1, image::Luma([7])))).expect("decodes");
        assert_eq!(pixels.rgb, [7, 7, 7]);
    }

    /* PIL.Image.alpha_composite(white, Image.new("RGBA", (1, 1), (10, 100, 250, 128))).convert("RGB") */
    #[test]
    fn transparency_shows_white() {
        let image = image::RgbaImage::from_pixel(1, 1, Rgba([10, 100, 250, 128]));
        assert_eq!(decode(&png(image)).expect("decodes").rgb, [132, 177, 252]);
        let clear = image::RgbaImage::from_pixel(1, 1, Rgba([10, 100, 250, 0]));
        assert_eq!(decode(&png(clear)).expect("decodes").rgb, [255, 255, 255]);
    }

    #[test]
    fn bytes_that_are_no_image_are_named() {
        let message = decode(b"not an image").expect_err("no image").to_string();
        assert!(message.starts_with("cannot decode 12 bytes as an image (PNG,"), "{message}");
    }

    #[test]
    fn a_file_that_breaks_off_is_refused() {
        use image::ImageFormat::{Bmp, Gif, Jpeg, Png, Pnm, Tiff, WebP};
        let noise = |x, y| image::Rgb([x * 7, y * 13, x * y].map(|v: u32| v as u8));
        let image = DynamicImage::from(RgbImage::from_fn(40, 40, noise));
        for format in [Png, Jpeg, WebP, Bmp, Gif, Tiff, Pnm] {
            let mut whole = Cursor::new(Vec::new());
            image.write_to(&mut whole, format).expect("encodes");
            let whole = whole.into_inner();
            decode(&whole).expect("whole");
            for n_bytes in [60, whole.len() / 2, whole.len() * 9 / 10] {
                let cut = decode(&whole[..n_bytes]);
                assert!(cut.is_err(), "{n_bytes} of {} bytes of {format:?}", whole.len());
            }
        }
    }

    #[test]
    fn gif_tiff_and_pnm_are_decoded() {
        use image::codecs::gif::GifEncoder;
        let frame = |gray: u8| {
            image::Frame::new(image::RgbaImage::from_pixel(2, 1, Rgba([gray, 0, 255, 255])))
        };
        let mut gif = Vec::new();
        GifEncoder::new(&mut gif).encode_frames([frame(255), frame(0)]).expect("encodes");
        assert_eq!(decode(&gif).expect("gif").rgb, [255, 0, 255, 255, 0, 255]);
        let deep = image::ImageBuffer::from_pixel(1, 2, image::Luma([0x8000_u16]));
        let mut tiff = Cursor::new(Vec::new());
        DynamicImage::from(deep).write_to(&mut tiff, image::ImageFormat::Tiff).expect("encodes");
        assert_eq!(decode(tiff.get_ref()).expect("tiff").rgb, [128; 6]);
        for (pnm, rgb) in [
            (&b"P6 1 1 255\n\x01\x02\x03"[..], [1, 2, 3]),
            (b"P3\n# by hand\n1 1 15\n15 0 3\n", [255, 0, 51]),
            (b"P5 1 1 255\n\x07", [7, 7, 7]),
            (b"P1 1 1\n1\n", [0, 0, 0]),
        ] {
            assert_eq!(decode(pnm).expect("pnm").rgb, rgb);
        }
    }

    #[test]
    fn raw_pixels_must_fit_their_size() {
        let message = Pixels::try_new(2, 2, vec![0; 11]).expect_err("short").to_string();
        assert_eq!(message, "2 × 2 RGB pixels should be 12 bytes, got 11");
        assert!(matches!(Pixels::try_new(0, 2, vec![]), Err(VisionError::Empty { .. })));
    }
}
