//! A SAM in use: a picture is looked at once, then asked for the object in each box.

use candle_core::{Module, Tensor};
use candle_transformers::models::segment_anything::image_encoder::ImageEncoderViT;
use vrft_score::mask::Mask;
use vrft_vision::Pixels;

use crate::decoder::Decoder;
use crate::pixels::PixelSettings;
use crate::prompt::Prompter;
use crate::sizes::Sizes;
use crate::upscale::Plane;
use crate::{SegmentConfig, SegmentError, weights};

/// Boxes that go through the decoder together.
const BATCH: usize = 16;

/// The Segment Anything Model, on the CPU.
pub struct Segmenter {
    encoder: ImageEncoderViT,
    prompter: Prompter,
    decoder: Decoder,
    pixels: PixelSettings,
    best_of_three: bool,
}

/// A picture as the image encoder sees it.
#[derive(Debug, Clone)]
pub struct Seen {
    /// 1, width of the decoder, patches on a side, patches on a side.
    features: Tensor,
    /// Width and height of the picture in pixels.
    size: (usize, usize),
}

/// The object in a box.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    /// Its pixels, of a mask of the picture's size.
    pub mask: Mask,
    /// The overlap with the true mask that the model expects; not bounded by 1.
    pub iou: f64,
}

impl Segmenter {
    /// Loads the model that a configuration names, from the hub if it is of there and not here yet.
    ///
    /// # Errors
    /// A checkpoint that is absent, damaged, of another model, or built in another way than SAM is.
    pub fn load(config: &SegmentConfig) -> Result<Self, SegmentError> {
        let dir = vrft_checkpoint::vision_model_dir(&config.model)?;
        let (sizes, tensors) = weights::load(&dir)?;
        let pixels = PixelSettings::read(&dir, sizes.image)?;
        let wrong = |error: candle_core::Error| SegmentError::Weights {
            path: dir.clone(),
            message: error.to_string(),
        };
        let prompts = tensors.pp("prompt_encoder");
        Ok(Self {
            encoder: encoder(&sizes, tensors.pp("image_encoder")).map_err(wrong)?,
            prompter: Prompter::load(&prompts, sizes.width, sizes.image, sizes.grid())
                .map_err(wrong)?,
            decoder: Decoder::load(&tensors.pp("mask_decoder"), &sizes).map_err(wrong)?,
            pixels,
            best_of_three: config.best_of_three,
        })
    }

    /// Encodes a picture: most of the time that its masks take, and memory for attention to all patches (ViT-B: 2.0 GiB in all).
    ///
    /// # Errors
    /// A failing forward pass.
    pub fn look(&self, pixels: &Pixels) -> Result<Seen, SegmentError> {
        let features = self.encoder.forward(&self.pixels.tensor(pixels)?)?;
        Ok(Seen { features, size: (pixels.width, pixels.height) })
    }

    /// The object in each box, in their order. Boxes are x1, y1, x2, y2 in pixels of the picture, and may reach beyond it.
    ///
    /// # Errors
    /// A box without any place in the picture; a failing forward pass.
    pub fn segment(&self, seen: &Seen, boxes: &[[f64; 4]]) -> Result<Vec<Segment>, SegmentError> {
        let (width, height) = seen.size;
        for (index, corners) in boxes.iter().enumerate() {
            check_box(index, *corners, width, height)?;
        }
        let (scaled_width, scaled_height) = self.pixels.scaled(width, height);
        let x = scaled_width as f64 / width as f64;
        let y = scaled_height as f64 / height as f64;
        // What transformers takes are 32 bits.
        let single = |value: f64| f64::from(value as f32);
        let scaled = boxes.iter().map(|corners| corners.map(single));
        let scaled: Vec<[f64; 4]> =
            scaled.map(|[x1, y1, x2, y2]| [x1 * x, y1 * y, x2 * x, y2 * y]).collect();
        let features = seen.features.broadcast_add(self.prompter.no_mask())?;
        let places = self.prompter.patches()?;
        let mut segments = Vec::with_capacity(boxes.len());
        for batch in scaled.chunks(BATCH) {
            let decoded = self.decoder.decode(&features, &places, &self.prompter.boxes(batch)?)?;
            let iou = decoded.iou.to_vec2::<f32>()?;
            for (number, iou) in iou.iter().enumerate() {
                let chosen = self.choose(iou);
                let logits = decoded.logits.get(number)?.get(chosen)?;
                let mask = self.mask(&logits, seen.size)?;
                segments.push(Segment { mask, iou: f64::from(iou[chosen]) });
            }
        }
        Ok(segments)
    }

    /// The first mask, which is for prompts without doubt, or the best of the others.
    fn choose(&self, iou: &[f32]) -> usize {
        let proposals = iou.iter().enumerate().skip(1);
        // Of equals the first, as `argmax` takes it.
        let best = proposals.rev().max_by(|a, b| a.1.total_cmp(b.1));
        best.filter(|_| self.best_of_three).map_or(0, |(number, _)| number)
    }

    /// Logits at the size of the picture, above 0.
    fn mask(&self, logits: &Tensor, (width, height): (usize, usize)) -> Result<Mask, SegmentError> {
        let (rows, columns) = logits.dims2()?;
        let coarse = Plane { width: columns, values: logits.flatten_all()?.to_vec1()? };
        let side = self.pixels.side;
        let padded = coarse.scaled((columns, rows), (side, side));
        let plane = padded.scaled(self.pixels.scaled(width, height), (width, height));
        Ok(Mask::of_pixels(width, height, plane.values.iter().map(|logit| *logit > 0.0).collect()))
    }
}

fn check_box(
    index: usize,
    corners: [f64; 4],
    width: usize,
    height: usize,
) -> Result<(), SegmentError> {
    let [x1, y1, x2, y2] = corners;
    let is_inside = x1 < x2 && y1 < y2 && x2 > 0.0 && y2 > 0.0;
    let is_inside = is_inside && x1 < width as f64 && y1 < height as f64;
    if is_inside && corners.iter().all(|corner| corner.is_finite()) {
        Ok(())
    } else {
        Err(SegmentError::Box { index, corners, width, height })
    }
}

fn encoder(sizes: &Sizes, weights: candle_nn::VarBuilder) -> candle_core::Result<ImageEncoderViT> {
    ImageEncoderViT::new(
        sizes.image,
        sizes.patch,
        3,
        sizes.hidden,
        sizes.depth,
        sizes.heads,
        sizes.width,
        sizes.qkv_bias,
        sizes.relative_positions,
        sizes.absolute_positions,
        sizes.window,
        &sizes.global,
        weights,
    )
}

#[cfg(test)]
mod tests;
