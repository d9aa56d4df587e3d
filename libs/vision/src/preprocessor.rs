//! From an image or a video to its patches: scale, normalize, cut.

use crate::{
    Grid, Header, ImageSettings, Patches, Pixels, Sides, Video, VideoSettings, VisionError, decode,
    resample, smart_resize,
};

/// Turns images and videos into [`Patches`] as a checkpoint's Hugging Face processor does.
#[derive(Debug, Clone)]
pub struct Preprocessor {
    image: Recipe,
    video: Recipe,
    video_settings: VideoSettings,
}

/// The patches of a video, and how much time passes from one temporal patch to the next.
#[derive(Debug, Clone, PartialEq)]
pub struct Clip {
    /// The pixels of the frames that were picked.
    pub patches: Patches,
    /// Seconds from one temporal patch to the next.
    pub seconds_per_grid: f64,
}

impl Preprocessor {
    /// Takes the settings for images and those for videos.
    ///
    /// # Errors
    /// Settings that no patches can be made with.
    pub fn try_new(image: ImageSettings, video: VideoSettings) -> Result<Self, VisionError> {
        image.check()?;
        video.check(&image)?;
        let frame = Recipe::new(video.frame.clone());
        Ok(Self { image: Recipe::new(image), video: frame, video_settings: video })
    }

    /// Bounds the pixels of images from now on; 0 leaves a bound as it is. Videos keep theirs.
    ///
    /// # Errors
    /// A lower bound above the upper one, where one of them is the checkpoint's.
    pub fn limit_images(
        &mut self,
        min_pixels: usize,
        max_pixels: usize,
    ) -> Result<(), VisionError> {
        let settings = &mut self.image.settings;
        let or = |limit: usize, own: usize| if limit == 0 { own } else { limit };
        settings.min_pixels = or(min_pixels, settings.min_pixels);
        settings.max_pixels = or(max_pixels, settings.max_pixels);
        if settings.min_pixels > settings.max_pixels {
            let (min, max) = (settings.min_pixels, settings.max_pixels);
            return Err(VisionError::Bounds { min, max });
        }
        settings.check()
    }

    /// Patches of an encoded image (PNG, JPEG, WebP, BMP).
    pub fn patches(&self, bytes: &[u8]) -> Result<Patches, VisionError> {
        self.patches_of(&decode(bytes)?)
    }

    /// Patches of decoded pixels.
    pub fn patches_of(&self, pixels: &Pixels) -> Result<Patches, VisionError> {
        let size = self.resized(pixels.height, pixels.width)?;
        Ok(self.image.cut(&[self.image.scaled(pixels, size)]))
    }

    /// Patches of a video: frames are sampled if the checkpoint says so, and the last one is repeated until
    /// they fill a temporal patch.
    ///
    /// # Errors
    /// Frames of a shape that the patch grid cannot carry, or too few to sample from.
    pub fn clip(&self, video: &Video) -> Result<Clip, VisionError> {
        let frames = match &self.video_settings.sampling {
            Some(sampling) => sampling.frames(video, self.video.settings.temporal_patch_size)?,
            None => (0..video.frames().len()).collect(),
        };
        let (height, width) = (video.frames()[0].height, video.frames()[0].width);
        let max_pixels = self.video_settings.max_pixels(frames.len());
        let size = self.video.size(height, width, max_pixels)?;
        let scaled = frames.iter().map(|&i| self.video.scaled(&video.frames()[i], size));
        let patches = self.video.cut(&scaled.collect::<Vec<_>>());
        // Picked frames follow each other more slowly than the video's own.
        let share = frames.len() as f64 / video.frames().len() as f64;
        let rate = share * video.frames_per_second();
        let seconds_per_grid = self.video.settings.temporal_patch_size as f64 / rate;
        Ok(Clip { patches, seconds_per_grid })
    }

    /// The `(height, width)` that an image of this size is scaled to.
    pub fn resized(&self, height: usize, width: usize) -> Result<(usize, usize), VisionError> {
        self.image.size(height, width, self.image.settings.max_pixels)
    }

    /// The patches that an image of this size is cut into.
    ///
    /// # Errors
    /// A shape that the patch grid cannot carry.
    pub fn grid(&self, height: usize, width: usize) -> Result<Grid, VisionError> {
        let patch_size = self.image.settings.patch_size;
        let (height, width) = self.resized(height, width)?;
        Ok(Grid { t: 1, h: height / patch_size, w: width / patch_size })
    }

    /// An image of this size in pixels, as it is and as the model sees it: what coordinates are converted with.
    pub fn sides(&self, height: usize, width: usize) -> Result<Sides, VisionError> {
        let resized = self.resized(height, width)?;
        Ok(Sides::new((width as f64, height as f64), (resized.1 as f64, resized.0 as f64)))
    }

    /// As [`Preprocessor::sides`] of an encoded image (PNG, JPEG, WebP, BMP), of which only the header is read.
    ///
    /// # Errors
    /// Bytes that do not start as an image does, or a shape that the patch grid cannot carry.
    pub fn sides_of(&self, bytes: &[u8]) -> Result<Sides, VisionError> {
        let (width, height) = Header::of(bytes)?.displayed();
        self.sides(height as usize, width as usize)
    }

    /// Patches that become one token, along each side.
    pub fn merge_size(&self) -> usize {
        self.image.settings.merge_size
    }
}

/// What is done to one frame; a still image is a video of one.
#[derive(Debug, Clone)]
struct Recipe {
    settings: ImageSettings,
    /// The normalized value of every byte, per channel.
    normalized: [[f32; 256]; 3],
}

impl Recipe {
    fn new(settings: ImageSettings) -> Self {
        let normalized = std::array::from_fn(|channel| {
            std::array::from_fn(|byte| normalize(byte as f32, channel, &settings))
        });
        Self { settings, normalized }
    }

    /// The `(height, width)` to scale to.
    fn size(
        &self,
        height: usize,
        width: usize,
        max_pixels: usize,
    ) -> Result<(usize, usize), VisionError> {
        let factor = self.settings.factor();
        if self.settings.do_resize {
            return smart_resize(height, width, factor, self.settings.min_pixels, max_pixels);
        }
        if height.is_multiple_of(factor) && width.is_multiple_of(factor) {
            Ok((height, width))
        } else {
            Err(VisionError::Unscaled { factor, width, height })
        }
    }

    fn scaled(&self, pixels: &Pixels, (height, width): (usize, usize)) -> Pixels {
        resample(pixels, width, height, self.settings.filter)
    }

    /// Cuts scaled frames into rows: blocks of merged patches first, then the patches of a block; in a row
    /// channel, frame, y, x. The last frame repeats until the frames fill a temporal patch.
    fn cut(&self, frames: &[Pixels]) -> Patches {
        let ImageSettings { patch_size, merge_size, temporal_patch_size, .. } = self.settings;
        let [.., last] = frames else { return Patches::empty() };
        let grid = Grid {
            t: frames.len().div_ceil(temporal_patch_size),
            h: last.height / patch_size,
            w: last.width / patch_size,
        };
        let n_values = grid.n_patches() * 3 * temporal_patch_size * patch_size * patch_size;
        let mut pixels = Vec::with_capacity(n_values);
        for first in (0..grid.t).map(|t| t * temporal_patch_size) {
            for place in merge_block_order(grid, merge_size) {
                for channel in 0..3 {
                    for i in first..first + temporal_patch_size {
                        let frame = frames.get(i).unwrap_or(last);
                        self.push_patch(&mut pixels, frame, place, channel);
                    }
                }
            }
        }
        Patches { pixels, grid }
    }

    /// One channel of one patch of one frame, y then x.
    fn push_patch(
        &self,
        values: &mut Vec<f32>,
        frame: &Pixels,
        (row, column): (usize, usize),
        channel: usize,
    ) {
        let size = self.settings.patch_size;
        let normalized = &self.normalized[channel];
        for y in row * size..(row + 1) * size {
            let start = (y * frame.width + column * size) * 3;
            let line = frame.rgb[start..start + size * 3].chunks_exact(3);
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
fn normalize(byte: f32, channel: usize, settings: &ImageSettings) -> f32 {
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
    use crate::settings::tests::settings;
    use crate::{Original, Rect, Resized};

    fn preprocessor() -> Preprocessor {
        let video = VideoSettings { frame: settings(), sampling: None, max_total_pixels: None };
        Preprocessor::try_new(settings(), video).unwrap()
    }

    #[test]
    fn coordinates_are_measured_on_what_the_model_sees() {
        let sides = preprocessor().sides(480, 640).unwrap();
        let seen = Rect::<Resized>::new([322.0, 238.0, 644.0, 476.0]);
        assert_eq!(seen.to::<Original>(&sides).corners(), [320.0, 240.0, 640.0, 480.0]);
    }

    #[test]
    fn the_header_of_an_image_says_how_it_will_be_seen() {
        let image = image::RgbImage::new(640, 480);
        let mut png = std::io::Cursor::new(Vec::new());
        image.write_to(&mut png, image::ImageFormat::Png).unwrap();
        let png = png.into_inner();
        let expected = preprocessor().sides(480, 640).unwrap();
        assert_eq!(preprocessor().sides_of(&png).unwrap(), expected);
        // The pixels need not even be there.
        assert_eq!(preprocessor().sides_of(&png[..60]).unwrap(), expected);
        assert!(preprocessor().sides_of(&png[..20]).is_err());
    }

    #[test]
    fn fewer_pixels_are_fewer_tokens() {
        let mut preprocessor = preprocessor();
        preprocessor.limit_images(0, 100 * 784).unwrap();
        assert_eq!(preprocessor.resized(480, 640).unwrap(), (224, 308));
        let error = preprocessor.limit_images(200 * 784, 0).unwrap_err().to_string();
        assert_eq!(error, "min_pixels should be at most max_pixels = 78400, got 156800");
    }

    #[test]
    fn merged_patches_stand_together() {
        let order: Vec<_> = merge_block_order(Grid { t: 1, h: 2, w: 4 }, 2).collect();
        let expected = [(0, 0), (0, 1), (1, 0), (1, 1), (0, 2), (0, 3), (1, 2), (1, 3)];
        assert_eq!(order, expected);
    }
}
