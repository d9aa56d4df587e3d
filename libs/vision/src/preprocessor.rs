//! From an image or a video to its patches: scale, normalize, cut.

use crate::{
    Grid, Header, ImageSettings, Patches, PixelRange, Pixels, Sides, Tiles, Video, VideoSettings,
    VisionError, decode, resample, smart_resize,
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
    /// For each temporal patch, the second between its first frame and its last.
    pub seconds: Vec<f64>,
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
        if let Some(tiling) = &mut settings.tiling {
            let got = |key, expected: String, got: usize| {
                Err(VisionError::Setting { key, expected, got: got.to_string() })
            };
            let side = tiling.side;
            if min_pixels > 0 {
                let expected =
                    "0: this model scales the longer side of every picture to one length";
                return got("min_pixels", expected.to_owned(), min_pixels);
            }
            if max_pixels > 0 && max_pixels < side * side {
                let expected = format!("at least {}, one tile of {side} × {side}", side * side);
                return got("max_pixels", expected, max_pixels);
            }
            if max_pixels > 0 {
                tiling.max_pixels = max_pixels;
            }
            return Ok(());
        }
        let or = |limit: usize, own: usize| if limit == 0 { own } else { limit };
        settings.min_pixels = or(min_pixels, settings.min_pixels);
        settings.max_pixels = or(max_pixels, settings.max_pixels);
        if settings.min_pixels > settings.max_pixels {
            let (min, max) = (settings.min_pixels, settings.max_pixels);
            return Err(VisionError::Bounds { min, max });
        }
        settings.check()
    }

    /// Patches of an encoded image (PNG, JPEG, WebP, BMP, GIF, TIFF, PNM).
    pub fn patches(&self, bytes: &[u8]) -> Result<Patches, VisionError> {
        self.patches_of(&decode(bytes)?)
    }

    /// Patches of decoded pixels.
    pub fn patches_of(&self, pixels: &Pixels) -> Result<Patches, VisionError> {
        self.image.patches(pixels)
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
        let scaled = self.scaled_frames(video, &frames)?;
        let patches = self.video.cut(&scaled, Tiles::default());
        // Picked frames follow each other more slowly than the video's own.
        let share = frames.len() as f64 / video.frames().len() as f64;
        let rate = share * video.frames_per_second();
        let n_merged = self.video.settings.temporal_patch_size;
        let second = |frame: usize| frame as f64 / video.frames_per_second();
        // The last frame is repeated in its patch.
        let middle = |merged: &[usize]| {
            let last = merged.last().copied().unwrap_or_default();
            (second(merged[0]) + second(last)) / 2.0
        };
        let seconds = frames.chunks(n_merged).map(middle).collect();
        Ok(Clip { patches, seconds_per_grid: n_merged as f64 / rate, seconds })
    }

    fn scaled_frames(&self, video: &Video, frames: &[usize]) -> Result<Vec<Pixels>, VisionError> {
        let (height, width) = (video.frames()[0].height, video.frames()[0].width);
        let frames = frames.iter().map(|&i| &video.frames()[i]);
        let settings = &self.video.settings;
        if settings.tiling.is_some() {
            let scaled = frames.map(|frame| Ok(self.video.pieces(frame)?.0));
            return Ok(scaled.collect::<Result<Vec<_>, VisionError>>()?.concat());
        }
        let size = if settings.do_resize {
            self.video_settings.size(frames.len(), height, width)?
        } else {
            self.video.size(height, width)?
        };
        Ok(frames.map(|frame| self.video.scaled(frame, size)).collect())
    }

    /// The `(height, width)` that an image of this size is scaled to.
    pub fn resized(&self, height: usize, width: usize) -> Result<(usize, usize), VisionError> {
        self.image.size(height, width)
    }

    /// The patches that an image of this size is cut into, without their pixels.
    ///
    /// # Errors
    /// A shape that the patch grid cannot carry.
    pub fn outline(&self, height: usize, width: usize) -> Result<Patches, VisionError> {
        self.image.outline(height, width)
    }

    /// An image of this size in pixels, as it is and as the model sees it: what coordinates are converted with.
    pub fn sides(&self, height: usize, width: usize) -> Result<Sides, VisionError> {
        let resized = self.resized(height, width)?;
        Ok(Sides::new((width as f64, height as f64), (resized.1 as f64, resized.0 as f64)))
    }

    /// As [`Preprocessor::sides`] of an encoded image (PNG, JPEG, WebP, BMP, GIF, TIFF, PNM), of which only the header is read.
    ///
    /// # Errors
    /// Bytes that do not start as an image does, or a shape that the patch grid cannot carry.
    pub fn sides_of(&self, bytes: &[u8]) -> Result<Sides, VisionError> {
        let (width, height) = Header::of(bytes)?.displayed();
        self.sides(height as usize, width as usize)
    }

    /// What bytes are in the normalized pixels of images.
    pub fn pixel_range(&self) -> PixelRange {
        let of_byte = |byte: usize| self.image.normalized.map(|values| values[byte]);
        let frames_per_patch = self.image.settings.temporal_patch_size;
        PixelRange { black: of_byte(0), white: of_byte(255), frames_per_patch }
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

    /// Patches of one picture.
    fn patches(&self, pixels: &Pixels) -> Result<Patches, VisionError> {
        let (pieces, tiles) = self.pieces(pixels)?;
        Ok(self.cut(&pieces, tiles))
    }

    fn outline(&self, height: usize, width: usize) -> Result<Patches, VisionError> {
        let settings = &self.settings;
        let (size, tiles) = match &settings.tiling {
            Some(tiling) => {
                let tiles = tiling.cut(height, width, settings.do_resize)?.tiles;
                ((tiling.side, tiling.side), tiles)
            }
            None => (self.size(height, width)?, Tiles::default()),
        };
        let (h, w) = (size.0 / settings.patch_size, size.1 / settings.patch_size);
        let grid = Grid { t: tiles.count(), h, w };
        Ok(Patches { pixels: Vec::new(), grid, tiles })
    }

    /// A picture in the sizes that patches are cut from: one piece, or its tiles.
    fn pieces(&self, pixels: &Pixels) -> Result<(Vec<Pixels>, Tiles), VisionError> {
        let (height, width) = (pixels.height, pixels.width);
        let settings = &self.settings;
        let Some(tiling) = &settings.tiling else {
            let size = self.size(height, width)?;
            return Ok((vec![self.scaled(pixels, size)], Tiles::default()));
        };
        let cut = tiling.cut(height, width, settings.do_resize)?;
        Ok((tiling.tiles(pixels, &cut, settings.filter), cut.tiles))
    }

    /// The `(height, width)` to scale to; of tiles, all but that of the whole picture together.
    fn size(&self, height: usize, width: usize) -> Result<(usize, usize), VisionError> {
        let factor = self.settings.factor();
        if let Some(tiling) = &self.settings.tiling {
            return Ok(tiling.cut(height, width, self.settings.do_resize)?.size);
        }
        if self.settings.do_resize {
            let ImageSettings { min_pixels, max_pixels, .. } = self.settings;
            return smart_resize(height, width, factor, min_pixels, max_pixels);
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
    fn cut(&self, frames: &[Pixels], tiles: Tiles) -> Patches {
        let ImageSettings { patch_size, merge_size, temporal_patch_size, .. } = self.settings;
        let [.., last] = frames else {
            return Patches::whole(Vec::new(), Grid { t: 0, h: 0, w: 0 });
        };
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
        Patches { pixels, grid, tiles }
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
    use crate::{Original, Rect, Resized, Tiling, VideoBounds};

    fn preprocessor() -> Preprocessor {
        let bounds = VideoBounds::EachFrame { max_total_pixels: None };
        let video = VideoSettings { frame: settings(), sampling: None, bounds };
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
    fn a_picture_in_tiles_is_bounded_by_their_number() {
        let tiling = Tiling { side: 56, longest_edge: 224, split: true, max_pixels: usize::MAX };
        let image =
            ImageSettings { temporal_patch_size: 1, tiling: Some(tiling.clone()), ..settings() };
        let frame =
            ImageSettings { tiling: Some(Tiling { split: false, ..tiling }), ..image.clone() };
        let bounds = VideoBounds::EachFrame { max_total_pixels: None };
        let video = VideoSettings { frame, sampling: None, bounds };
        let mut preprocessor = Preprocessor::try_new(image, video).unwrap();
        let outline = preprocessor.outline(100, 200).unwrap();
        assert_eq!(outline.grid, Grid { t: 9, h: 4, w: 4 });
        assert_eq!(outline.tiles, Tiles { rows: 2, columns: 4 });
        assert_eq!(preprocessor.resized(100, 200).unwrap(), (112, 224));
        preprocessor.limit_images(0, 5000).unwrap();
        assert_eq!(preprocessor.outline(100, 200).unwrap().grid.t, 1);
        let error = |min, max| {
            let mut preprocessor = preprocessor.clone();
            preprocessor.limit_images(min, max).unwrap_err().to_string()
        };
        let expected = "max_pixels should be at least 3136, one tile of 56 × 56, got 3000";
        assert_eq!(error(0, 3000), expected);
        assert!(error(9, 0).starts_with("min_pixels should be 0: "));
        let pixels = Pixels::try_new(200, 100, vec![9; 60_000]).unwrap();
        let patches = preprocessor.patches_of(&pixels).unwrap();
        assert_eq!(patches.pixels.len(), 16 * 3 * 14 * 14);
    }

    #[test]
    fn merged_patches_stand_together() {
        let order: Vec<_> = merge_block_order(Grid { t: 1, h: 2, w: 4 }, 2).collect();
        let expected = [(0, 0), (0, 1), (1, 0), (1, 1), (0, 2), (0, 3), (1, 2), (1, 3)];
        assert_eq!(order, expected);
    }
}
