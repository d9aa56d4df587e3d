//! Every encoding that a camera sends, and what is not a picture.

use std::io::Cursor;

use super::*;
use crate::testing::scene;

fn raw<'a>(bytes: &'a [u8], encoding: &'a str, width: u32, height: u32) -> RawFrame<'a> {
    RawFrame { bytes, encoding, width, height }
}

#[track_caller]
fn check(bytes: &[u8], encoding: &str, size: (u32, u32), expected: &[u8]) {
    let image = raw(bytes, encoding, size.0, size.1).decode().unwrap();
    assert_eq!((image.dimensions(), image.as_raw().as_slice()), (size, expected));
}

#[track_caller]
fn refused(bytes: &[u8], encoding: &str, size: (u32, u32), words: &str) {
    let error = raw(bytes, encoding, size.0, size.1).decode().unwrap_err().to_string();
    assert!(error.contains(words), "{error}");
}

#[test]
fn packed_pixels() {
    check(&[1, 2, 3, 4, 5, 6], "rgb8", (2, 1), &[1, 2, 3, 4, 5, 6]);
    check(&[1, 2, 3, 4, 5, 6], "bgr8", (1, 2), &[3, 2, 1, 6, 5, 4]);
    check(&[1, 2, 3, 255], "rgba8", (1, 1), &[1, 2, 3]);
    check(&[1, 2, 3, 255], "BGRA8", (1, 1), &[3, 2, 1]);
    check(&[7], "mono8", (1, 1), &[7, 7, 7]);
}

/* cv2.cvtColor(cv2.cvtColor(a, cv2.COLOR_RGB2YUV_I420), cv2.COLOR_YUV2RGB_I420) of a 2 x 2 picture in one color:
red (255, 0, 0) is Y 82, U 90, V 240 and comes back as (255, 1, 0); gray 128 is Y 126, U 128, V 128. */
#[test]
fn luminance_and_color_apart() {
    let red = [255, 1, 0].repeat(4);
    check(&[82, 82, 82, 82, 90, 240], "yuv420", (2, 2), &red);
    check(&[82, 82, 82, 82, 90, 240], "nv12", (2, 2), &red);
    check(&[82, 90, 82, 240, 82, 90, 82, 240], "yuyv", (2, 2), &red);
    check(&[126, 126, 126, 126, 128, 128], "yuv420", (2, 2), &[128; 12]);
}

#[test]
fn each_pixel_has_its_own_luminance_and_its_block_of_color() {
    let (width, height) = (4, 4);
    let mut bytes: Vec<u8> = (0..16).map(|n| 40 + 10 * n).collect();
    bytes.extend([90, 128, 128, 128, 240, 128, 128, 128]);
    let image = raw(&bytes, "yuv420", width, height).decode().unwrap();
    let is_gray = |x, y| {
        let [r, g, b] = image.get_pixel(x, y).0;
        r == g && g == b
    };
    for y in 0..height {
        for x in 0..width {
            assert_eq!(is_gray(x, y), x >= 2 || y >= 2, "{x} {y}");
        }
    }
    assert!(image.get_pixel(3, 3).0[0] > image.get_pixel(2, 3).0[0]);
}

#[test]
fn files_know_their_size_themselves() {
    let image = scene(3, 40, 20);
    use image::ImageFormat::{Bmp, Png, Pnm, Tiff, WebP};
    for format in [Png, Bmp, WebP, Tiff, Pnm] {
        let mut file = Cursor::new(Vec::new());
        image.write_to(&mut file, format).unwrap();
        let name = format.extensions_str()[0];
        assert_eq!(raw(file.get_ref(), name, 640, 480).decode().unwrap(), image);
    }
    let jpeg = jpeg(&image).unwrap();
    assert_eq!(raw(&jpeg, "jpeg", 0, 0).decode().unwrap().dimensions(), (40, 20));
}

/// EXIF with orientation 6: the picture is to be turned by a quarter, so that its left side is the upper one.
const TURNED: &[u8] =
    b"\xff\xe1\x00\x22Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";

#[test]
fn a_file_stands_as_it_is_shown_to_the_policy() {
    let black_left =
        RgbImage::from_fn(40, 16, |x, _| image::Rgb([if x < 20 { 0 } else { 255 }; 3]));
    let mut file = jpeg(&black_left).unwrap();
    file.splice(2..2, TURNED.iter().copied());
    let upright = raw(&file, "jpeg", 40, 16).decode().unwrap();
    assert_eq!(upright.dimensions(), (16, 40));
    assert!(upright.get_pixel(8, 4).0[0] < 20 && upright.get_pixel(8, 35).0[0] > 235);
}

#[test]
fn garbage_is_refused_and_named() {
    refused(&[0; 11], "rgb8", (2, 2), "a rgb8 frame of 2 × 2 pixels should be 12 bytes, got 11");
    refused(&[], "bgr8", (0, 0), "0 × 0");
    refused(&[0; 12], "bgr8", (4_000_000_000, 4_000_000_000), "4000000000");
    refused(&[0; 9], "yuv420", (3, 2), "3 × 2");
    refused(&[0; 12], "mono16", (2, 2), "encoding \"mono16\"");
    refused(b"not a picture", "jpeg", (2, 2), "a jpeg frame: cannot decode 13 bytes");
    let whole = jpeg(&scene(3, 64, 64)).unwrap();
    assert!(raw(&whole[..40], "jpeg", 64, 64).decode().is_err());
}

#[test]
fn only_what_is_too_large_is_shrunk() {
    assert_eq!(shrink(scene(1, 640, 272), 64).dimensions(), (64, 27));
    assert_eq!(shrink(scene(1, 30, 60), 64).dimensions(), (30, 60));
    assert_eq!(shrink(RgbImage::new(1000, 1), 64).dimensions(), (64, 1));
}
