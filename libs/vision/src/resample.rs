//! Scaling of 8-bit images, bit for bit as the Hugging Face image processor does it.
//!
//! The filter is widened by the scale when shrinking (anti-aliasing). Like
//! torchvision, it makes two passes, columns then rows, with weights of 16-bit fixed point and 8-bit pixels
//! between the passes. Pillow's weights have 22 bits, so a pixel may differ from Pillow's by one (and by more in
//! noise, where newer Pillows may clamp after the rows first).

use crate::Pixels;

const CHANNELS: usize = 3;

/// How the pixels around a point are weighed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// A triangle over 2 pixels.
    Bilinear,
    /// Keys' cubic convolution with a = -0.5, over 4 pixels.
    Bicubic,
    /// A sinc under a wider sinc, over 6 pixels.
    Lanczos,
}

impl Filter {
    /// Reach to either side, in pixels of the coarser image.
    fn support(self) -> f64 {
        match self {
            Filter::Bilinear => 1.0,
            Filter::Bicubic => 2.0,
            Filter::Lanczos => 3.0,
        }
    }

    /// Weight of a pixel at distance `x`, before the weights are made to sum to 1.
    fn weight(self, x: f64) -> f64 {
        match self {
            Filter::Bilinear => (1.0 - x.abs()).max(0.0),
            Filter::Bicubic => cubic(x),
            Filter::Lanczos if x.abs() < 3.0 => sinc(x) * sinc(x / 3.0),
            Filter::Lanczos => 0.0,
        }
    }
}

/// Scales to `width` × `height`, both at least 1.
pub fn resample(pixels: &Pixels, width: usize, height: usize, filter: Filter) -> Pixels {
    let narrowed = scale_columns(pixels, width, filter);
    scale_rows(&narrowed, height, filter)
}

/// The source pixels that make up one pixel of the result.
struct Window {
    start: usize,
    weights: Vec<i32>,
}

/// All windows of one axis, with weights in units of 2^-`precision`.
struct Windows {
    windows: Vec<Window>,
    precision: u32,
}

impl Windows {
    fn new(source: usize, target: usize, filter: Filter) -> Self {
        let exact: Vec<_> = (0..target).map(|i| window(i, source, target, filter)).collect();
        let largest =
            exact.iter().flat_map(|(_, weights)| weights).fold(0.0, |a: f64, &b| a.max(b));
        let precision = precision(largest);
        let unit = f64::from(1u32 << precision);
        let windows = exact
            .into_iter()
            .map(|(start, weights)| {
                // Halves go away from zero.
                let weights = weights.iter().map(|w| (w * unit).round() as i32).collect();
                Window { start, weights }
            })
            .collect();
        Self { windows, precision }
    }

    /// What a sum starts from, so that dropping the fraction rounds it.
    fn half(&self) -> i32 {
        1 << (self.precision - 1)
    }

    fn to_byte(&self, sum: i32) -> u8 {
        (sum >> self.precision).clamp(0, 255) as u8
    }
}

/// The first source pixel of target pixel `i`, and the normalized weights from there on.
fn window(i: usize, source: usize, target: usize, filter: Filter) -> (usize, Vec<f64>) {
    let scale = source as f64 / target as f64;
    let widening = scale.max(1.0);
    let reach = filter.support() * widening;
    let center = scale * (i as f64 + 0.5);
    let start = ((center - reach + 0.5) as i64).max(0) as usize;
    let end = ((center + reach + 0.5) as usize).min(source);
    let weights: Vec<f64> =
        (start..end).map(|j| filter.weight((j as f64 - center + 0.5) / widening)).collect();
    let total: f64 = weights.iter().sum();
    (start, weights.iter().map(|w| w / total).collect())
}

/// Keys' cubic convolution kernel with a = -0.5.
fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    match x.abs() {
        x if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
        x if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
        _ => 0.0,
    }
}

fn sinc(x: f64) -> f64 {
    let angle = x * std::f64::consts::PI;
    if x == 0.0 { 1.0 } else { angle.sin() / angle }
}

/// The most bits after the point with which the largest weight still fits 16 bits and a sign.
fn precision(largest: f64) -> u32 {
    const MOST: u32 = 22;
    (0..MOST)
        .find(|bits| 0.5 + largest * f64::from(1u32 << (bits + 1)) >= f64::from(1u32 << 15))
        .unwrap_or(MOST)
}

fn scale_columns(pixels: &Pixels, width: usize, filter: Filter) -> Pixels {
    if width == pixels.width {
        return pixels.clone();
    }
    let windows = Windows::new(pixels.width, width, filter);
    let mut rgb = Vec::with_capacity(width * pixels.height * CHANNELS);
    for row in pixels.rgb.chunks_exact(pixels.width * CHANNELS) {
        for window in &windows.windows {
            let mut sums = [windows.half(); CHANNELS];
            let source = row[window.start * CHANNELS..].chunks_exact(CHANNELS);
            for (weight, pixel) in window.weights.iter().zip(source) {
                for (sum, &value) in sums.iter_mut().zip(pixel) {
                    *sum += weight * i32::from(value);
                }
            }
            rgb.extend(sums.map(|sum| windows.to_byte(sum)));
        }
    }
    Pixels { width, height: pixels.height, rgb }
}

fn scale_rows(pixels: &Pixels, height: usize, filter: Filter) -> Pixels {
    if height == pixels.height {
        return pixels.clone();
    }
    let windows = Windows::new(pixels.height, height, filter);
    let row_len = pixels.width * CHANNELS;
    let mut rgb = Vec::with_capacity(row_len * height);
    let mut sums = vec![0; row_len];
    for window in &windows.windows {
        sums.fill(windows.half());
        let source = pixels.rgb[window.start * row_len..].chunks_exact(row_len);
        for (weight, row) in window.weights.iter().zip(source) {
            for (sum, &value) in sums.iter_mut().zip(row) {
                *sum += weight * i32::from(value);
            }
        }
        rgb.extend(sums.iter().map(|&sum| windows.to_byte(sum)));
    }
    Pixels { width: pixels.width, height, rgb }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One row of gray, scaled along its width.
    #[track_caller]
    fn check(row: &[u8], expected: &[u8]) {
        let rgb = row.iter().flat_map(|&v| [v; CHANNELS]).collect();
        let pixels = Pixels { width: row.len(), height: 1, rgb };
        let scaled = resample(&pixels, expected.len(), 1, Filter::Bicubic);
        assert_eq!(scaled.rgb.iter().step_by(CHANNELS).copied().collect::<Vec<_>>(), expected);
    }

    /* Equivalent python code:
    row = torch.tensor([[[0, 255, 0, 255, 128]]], dtype=torch.uint8)
    print(tvF.resize(row, (1, 3), interpolation=BICUBIC, antialias=True)) */
    #[test]
    fn shrinking_averages() {
        check(&[0, 255, 0, 255, 128], &[106, 121, 181]);
    }

    #[test]
    fn growing_overshoots_and_is_clamped() {
        check(&[0, 255, 0, 255, 128], &[0, 114, 252, 59, 55, 249, 191, 119]);
    }

    #[test]
    fn a_flat_image_stays_flat() {
        check(&[9; 10], &[9; 3]);
        check(&[200; 3], &[200; 17]);
    }

    #[test]
    fn the_same_size_changes_nothing() {
        check(&[3, 1, 4, 1, 5], &[3, 1, 4, 1, 5]);
    }
}
