//! From a picture to what the image encoder takes: scaled by its longer side, normalized, padded, as transformers'
//! `SamImageProcessor` does it.

use std::path::Path;

use candle_core::{Device, Tensor};
use vrft_checkpoint::{CheckpointError, JsonFile};
use vrft_vision::{Filter, Pixels, resample};

/// transformers' number for bilinear scaling.
const BILINEAR: usize = 2;

/// How pixels become numbers.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PixelSettings {
    /// Longer side that pictures are scaled to, and side of the square that they are padded to.
    pub(crate) side: usize,
    /// What is taken off a byte, for each color.
    mean: [f32; 3],
    /// What it is divided by then.
    deviation: [f32; 3],
}

impl PixelSettings {
    /// The settings in the folder of a model whose side this is; where there are none, those of the authors.
    ///
    /// # Errors
    /// Settings by which pictures would be prepared in another way.
    pub(crate) fn read(dir: &Path, side: usize) -> Result<Self, CheckpointError> {
        let file = |name: &str| {
            if dir.is_dir() { JsonFile::read(&dir.join(name)) } else { Ok(None) }
        };
        let whole = file("processor_config.json")?;
        let alone = file("preprocessor_config.json")?;
        let keys = match (&whole, &alone) {
            (Some(whole), _) if whole.keys().section("image_processor").is_there() => {
                whole.keys().section("image_processor")
            }
            (_, Some(alone)) => alone.keys(),
            _ => {
                return Ok(Self::of(
                    side,
                    [0.485, 0.456, 0.406],
                    [0.229, 0.224, 0.225],
                    1.0 / 255.0,
                ));
            }
        };
        for step in ["do_resize", "do_rescale", "do_normalize", "do_pad"] {
            let is_done = keys.flag(step)?.unwrap_or(true);
            keys.ensure(is_done, step, "true", is_done)?;
        }
        let filter = keys.count("resample")?.unwrap_or(BILINEAR);
        keys.ensure(filter == BILINEAR, "resample", "2, which is bilinear", filter)?;
        let [size, padded] = ["size", "pad_size"].map(|key| keys.section(key));
        for (keys, key) in [(&size, "longest_edge"), (&padded, "height"), (&padded, "width")] {
            let got = keys.size(key)?.unwrap_or(side);
            keys.ensure(got == side, key, format!("the model's image_size, {side}"), got)?;
        }
        let mean = keys.three_numbers("image_mean")?.unwrap_or([0.485, 0.456, 0.406]);
        let deviation = keys.three_numbers("image_std")?.unwrap_or([0.229, 0.224, 0.225]);
        let factor = keys.positive("rescale_factor")?.unwrap_or(1.0 / 255.0);
        Ok(Self::of(side, mean, deviation, factor))
    }

    /// Scaling and normalization in one, in the order in which transformers rounds.
    fn of(side: usize, mean: [f32; 3], deviation: [f32; 3], factor: f64) -> Self {
        let inverse = (1.0 / factor) as f32;
        Self { side, mean: mean.map(|v| v * inverse), deviation: deviation.map(|v| v * inverse) }
    }

    /// Width and height of a picture of this size when it is scaled.
    pub(crate) fn scaled(&self, width: usize, height: usize) -> (usize, usize) {
        let scale = self.side as f64 / width.max(height) as f64;
        let of = |side: usize| ((side as f64 * scale + 0.5) as usize).max(1);
        (of(width), of(height))
    }

    /// What the encoder takes: 1, 3, side, side.
    ///
    /// # Errors
    /// Memory that is not there.
    pub(crate) fn tensor(&self, pixels: &Pixels) -> candle_core::Result<Tensor> {
        let (width, height) = self.scaled(pixels.width, pixels.height);
        let scaled = resample(pixels, width, height, Filter::Bilinear);
        let mut numbers = vec![0.0_f32; 3 * self.side * self.side];
        for (color, plane) in numbers.chunks_exact_mut(self.side * self.side).enumerate() {
            let rows = scaled.rgb.chunks_exact(3 * width).zip(plane.chunks_exact_mut(self.side));
            for (from, to) in rows {
                for (pixel, number) in from.chunks_exact(3).zip(to) {
                    *number = (f32::from(pixel[color]) - self.mean[color]) / self.deviation[color];
                }
            }
        }
        Tensor::from_vec(numbers, (1, 3, self.side, self.side), &Device::Cpu)
    }
}
