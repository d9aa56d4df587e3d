//! Is a frame sharp, and neither too dark nor too bright?

use image::imageops::{self, FilterType};
use image::{GrayImage, RgbImage};

/// Longest side that quality is measured at, so that it does not depend on the camera's resolution.
const SIDE: u32 = 256;

/// Two numbers of a frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quality {
    /// Variance of the Laplacian, in gray levels squared: edges that are blurred have little.
    pub sharpness: f64,
    /// Mean gray, 0 for black to 1 for white.
    pub brightness: f64,
}

/// Measures a frame at 256 pixels.
pub fn quality(image: &RgbImage) -> Quality {
    let gray = small(image);
    let n = (gray.width() * gray.height()) as f64;
    let sum: u64 = gray.as_raw().iter().map(|&level| u64::from(level)).sum();
    Quality { sharpness: laplacian_variance(&gray), brightness: sum as f64 / n / 255.0 }
}

fn small(image: &RgbImage) -> GrayImage {
    let gray = imageops::grayscale(image);
    let (width, height) = gray.dimensions();
    let longest = width.max(height);
    if longest <= SIDE {
        return gray;
    }
    let scaled = |side: u32| (side * SIDE / longest).max(1);
    imageops::resize(&gray, scaled(width), scaled(height), FilterType::Triangle)
}

/// Over all pixels that have four neighbors; 0 if none has.
fn laplacian_variance(gray: &GrayImage) -> f64 {
    let (width, height) = gray.dimensions();
    let level = |x: u32, y: u32| f64::from(gray.get_pixel(x, y).0[0]);
    let (mut n, mut sum, mut squares) = (0.0, 0.0, 0.0);
    for y in 1..height.saturating_sub(1) {
        for x in 1..width.saturating_sub(1) {
            let around = level(x - 1, y) + level(x + 1, y) + level(x, y - 1) + level(x, y + 1);
            let edge = around - 4.0 * level(x, y);
            n += 1.0;
            sum += edge;
            squares += edge * edge;
        }
    }
    if n == 0.0 { 0.0 } else { squares / n - (sum / n).powi(2) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::scene;

    #[test]
    fn blur_takes_sharpness_away() {
        let sharp = scene(1, 200, 120);
        let blurred = imageops::blur(&sharp, 6.0);
        assert!(quality(&sharp).sharpness > 20.0 * quality(&blurred).sharpness);
    }

    #[test]
    fn black_is_0_and_white_is_1() {
        let plain = |level| quality(&RgbImage::from_pixel(40, 30, image::Rgb([level; 3])));
        assert_eq!(plain(0), Quality { sharpness: 0.0, brightness: 0.0 });
        assert_eq!(plain(255), Quality { sharpness: 0.0, brightness: 1.0 });
    }

    #[test]
    fn a_picture_of_one_pixel_has_no_edges() {
        assert_eq!(quality(&RgbImage::new(1, 1)).sharpness, 0.0);
    }
}
