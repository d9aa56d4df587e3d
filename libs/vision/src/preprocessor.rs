//! From an image to its patches: scale, normalize, cut.

use std::path::Path;

use crate::settings::Settings;
use crate::{Grid, Patches, Pixels, VisionError, decode, resample_bicubic, smart_resize};

/// Turns images into [`Patches`] as the checkpoint's Hugging Face image processor does.
#[derive(Debug, Clone)]
pub struct Preprocessor {
    settings: Settings,
    /// The normalized value of every byte, per channel.
    normalized: [[f32; 256]; 3],
}

impl Preprocessor {
    /// Reads the image settings of a checkpoint directory.
    pub fn from_dir(dir: &Path) -> Result<Self, VisionError> {
        let settings = Settings::from_dir(dir)?;
        let normalized = std::array::from_fn(|channel| {
            std::array::from_fn(|byte| normalize(byte as f32, channel, &settings))
        });
        Ok(Self { settings, normalized })
    }

    /// Patches of an encoded image (PNG, JPEG, WebP, BMP).
    pub fn patches(&self, bytes: &[u8]) -> Result<Patches, VisionError> {
        self.patches_of(&decode(bytes)?)
    }

    /// Patches of decoded pixels.
    pub fn patches_of(&self, pixels: &Pixels) -> Result<Patches, VisionError> {
        let (height, width) = self.resized(pixels.height, pixels.width)?;
        Ok(self.cut(&resample_bicubic(pixels, width, height)))
    }

    /// The `(height, width)` that an image of this size is scaled to.
    pub fn resized(&self, height: usize, width: usize) -> Result<(usize, usize), VisionError> {
        let Settings { patch_size, merge_size, .. } = self.settings;
        let (min, max) = (self.settings.min_pixels(), self.settings.max_pixels());
        smart_resize(height, width, patch_size * merge_size, min, max)
    }

    /// Patches that become one token, along each side.
    pub fn merge_size(&self) -> usize {
        self.settings.merge_size
    }

    /// Cuts a scaled image into rows: blocks of merged patches first, then the patches of a block; in a
    /// row channel, frame (a still image repeats), y, x.
    fn cut(&self, pixels: &Pixels) -> Patches {
        let Settings { patch_size, merge_size, temporal_patch_size, .. } = self.settings;
        let grid = Grid { t: 1, h: pixels.height / patch_size, w: pixels.width / patch_size };
        let mut values = Vec::with_capacity(pixels.rgb.len() * temporal_patch_size);
        for (row, column) in merge_block_order(grid, merge_size) {
            for channel in 0..3 {
                let start = values.len();
                self.push_frame(&mut values, pixels, (row, column), channel);
                let frame = start..values.len();
                for _ in 1..temporal_patch_size {
                    values.extend_from_within(frame.clone());
                }
            }
        }
        Patches { pixels: values, grid }
    }

    /// One channel of one patch, y then x.
    fn push_frame(
        &self,
        values: &mut Vec<f32>,
        pixels: &Pixels,
        (row, column): (usize, usize),
        channel: usize,
    ) {
        let size = self.settings.patch_size;
        let normalized = &self.normalized[channel];
        for y in row * size..(row + 1) * size {
            let start = (y * pixels.width + column * size) * 3;
            let line = pixels.rgb[start..start + size * 3].chunks_exact(3);
            values.extend(line.map(|pixel| normalized[usize::from(pixel[channel])]));
        }
    }
}

/// Row and column of every patch, those that merge into one token together.
fn merge_block_order(grid: Grid, merge_size: usize) -> impl Iterator<Item = (usize, usize)> {
    let blocks = (0..grid.h / merge_size)
        .flat_map(move |row| (0..grid.w / merge_size).map(move |column| (row, column)));
    blocks.flat_map(move |(row, column)| {
        (0..merge_size * merge_size)
            .map(move |i| (row * merge_size + i / merge_size, column * merge_size + i % merge_size))
    })
}

/// `(byte · rescale_factor - mean) / std`, in the order of operations that transformers rounds in.
fn normalize(byte: f32, channel: usize, settings: &Settings) -> f32 {
    let (mean, std) = (settings.image_mean[channel], settings.image_std[channel]);
    let range = (1.0 / settings.rescale_factor) as f32;
    match (settings.do_rescale, settings.do_normalize) {
        (true, true) => (byte - mean * range) / (std * range),
        (false, true) => (byte - mean) / std,
        (true, false) => byte * settings.rescale_factor as f32,
        (false, false) => byte,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merged_patches_stand_together() {
        let order: Vec<_> = merge_block_order(Grid { t: 1, h: 2, w: 4 }, 2).collect();
        let expected = [(0, 0), (0, 1), (1, 0), (1, 1), (0, 2), (0, 3), (1, 2), (1, 3)];
        assert_eq!(order, expected);
    }
}
