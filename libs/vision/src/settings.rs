//! How pictures and videos are scaled, normalized and cut: plain data, whichever files it was read from.

use crate::sampling::FrameSampling;
use crate::size::{resize_frames, smart_resize};
use crate::{Filter, Tiling, VisionError};

/// Largest side in pixels of what becomes one token: the smallest picture that a model sees has this side.
const MAX_FACTOR: usize = 1024;
/// Most frames to a patch.
const MAX_FRAMES_PER_PATCH: usize = 16;
/// Largest side of a tile in pixels.
const MAX_TILE: usize = 4096;
/// Longest side that a picture is scaled to before it is cut into tiles.
const MAX_LONGEST: usize = 1 << 16;
/// Most pixels that a picture is enlarged to: eight times what the largest published settings ask for.
const MAX_ENLARGED: usize = 1 << 26;

/// Scaling, normalization and patch sizes of pictures.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageSettings {
    /// Side of a patch in pixels.
    pub patch_size: usize,
    /// Frames to a patch; a still picture is repeated.
    pub temporal_patch_size: usize,
    /// `merge_size`² patches become one token.
    pub merge_size: usize,
    /// Mean of each color channel, subtracted after rescaling.
    pub image_mean: [f32; 3],
    /// Standard deviation of each color channel, divided by after that.
    pub image_std: [f32; 3],
    /// What a byte is multiplied with.
    pub rescale_factor: f64,
    /// Whether pictures are scaled at all; if not, their sides must fit the patch grid.
    pub do_resize: bool,
    /// Whether bytes are rescaled.
    pub do_rescale: bool,
    /// Whether mean and deviation are applied.
    pub do_normalize: bool,
    /// How pixels are weighed while scaling.
    pub filter: Filter,
    /// Fewest pixels after scaling.
    pub min_pixels: usize,
    /// Most pixels after scaling.
    pub max_pixels: usize,
    /// How pictures are cut into tiles, which have bounds of their own; `None` keeps a picture in one piece.
    pub tiling: Option<Tiling>,
}

/// Settings of videos.
#[derive(Debug, Clone, PartialEq)]
pub struct VideoSettings {
    /// What is done to each frame.
    pub frame: ImageSettings,
    /// How frames are picked; all of them if `None`.
    pub sampling: Option<FrameSampling>,
    /// What the bounds on pixels are bounds of.
    pub bounds: VideoBounds,
}

/// What the bounds on pixels of a video's frames are bounds of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VideoBounds {
    /// The limits are those of each frame.
    EachFrame {
        /// Pixels that all frames may have together, besides.
        max_total_pixels: Option<usize>,
    },
    /// The limits are those of all frames together.
    AllFrames {
        /// Tokens that each frame may have, besides; a long video has fewer to a frame.
        max_frame_tokens: Option<usize>,
    },
}

impl ImageSettings {
    /// Side in pixels of what becomes one token.
    pub fn factor(&self) -> usize {
        self.patch_size * self.merge_size
    }

    /// Whether patches can be made so.
    ///
    /// # Errors
    /// The first setting that cannot be, by its name in Hugging Face's files.
    pub fn check(&self) -> Result<(), VisionError> {
        for (key, got, most) in [
            ("patch_size", self.patch_size, MAX_FACTOR),
            ("temporal_patch_size", self.temporal_patch_size, MAX_FRAMES_PER_PATCH),
            ("merge_size", self.merge_size, MAX_FACTOR),
            ("min_pixels", self.min_pixels, MAX_ENLARGED),
        ] {
            ensure(got >= 1, key, "at least 1", got)?;
            ensure(got <= most, key, format!("at most {most}"), got)?;
        }
        let factor = format!("at most {MAX_FACTOR} / patch_size ({})", self.patch_size);
        ensure(self.factor() <= MAX_FACTOR, "merge_size", factor, self.merge_size)?;
        let bounded = self.min_pixels <= self.max_pixels;
        ensure(bounded, "max_pixels", "at least min_pixels", self.max_pixels)?;
        let normal = self.rescale_factor.is_normal();
        ensure(normal, "rescale_factor", "a number other than 0", self.rescale_factor)?;
        let divides = !self.image_std.contains(&0.0);
        ensure(
            divides,
            "image_std",
            "three numbers other than 0",
            format!("{:?}", self.image_std),
        )?;
        self.tiling.as_ref().map_or(Ok(()), |tiling| self.check_tiling(tiling))
    }

    fn check_tiling(&self, tiling: &Tiling) -> Result<(), VisionError> {
        let (key, side) = ("max_image_size.longest_edge", tiling.side);
        ensure((1..=MAX_TILE).contains(&side), key, format!("1 to {MAX_TILE}"), side)?;
        let whole =
            side >= self.factor() && (side / self.patch_size).is_multiple_of(self.merge_size);
        let (patch, merge) = (self.patch_size, self.merge_size);
        let expected =
            format!("so many patches of {patch} pixels that {merge} × {merge} make a token");
        ensure(whole, key, expected, side)?;
        let (key, longest) = ("size.longest_edge", tiling.longest_edge);
        ensure((1..=MAX_LONGEST).contains(&longest), key, format!("1 to {MAX_LONGEST}"), longest)
    }
}

impl VideoSettings {
    /// Whether videos and pictures can go through one patch grid.
    ///
    /// # Errors
    /// As [`ImageSettings::check`]; a patch that is another one than that of pictures.
    pub fn check(&self, image: &ImageSettings) -> Result<(), VisionError> {
        self.frame.check()?;
        for (key, got, expected) in [
            ("patch_size", self.frame.patch_size, image.patch_size),
            ("merge_size", self.frame.merge_size, image.merge_size),
            ("temporal_patch_size", self.frame.temporal_patch_size, image.temporal_patch_size),
        ] {
            ensure(got == expected, key, format!("{expected}, as for images"), got)?;
        }
        Ok(())
    }

    /// The `(height, width)` that each of `n_frames` frames of this size is scaled to.
    pub(crate) fn size(
        &self,
        n_frames: usize,
        height: usize,
        width: usize,
    ) -> Result<(usize, usize), VisionError> {
        let (frame, factor) = (&self.frame, self.frame.factor());
        match self.bounds {
            VideoBounds::EachFrame { max_total_pixels } => {
                let max_pixels = self.max_pixels(n_frames, max_total_pixels);
                smart_resize(height, width, factor, frame.min_pixels, max_pixels)
            }
            VideoBounds::AllFrames { max_frame_tokens } => {
                let max_pixels = max_frame_tokens.map_or(frame.max_pixels, |n_tokens| {
                    let most = n_tokens.saturating_mul(factor * factor);
                    let share = most.min(frame.max_pixels / n_frames).max(self.least());
                    share.saturating_mul(n_frames)
                });
                let frames = (n_frames, frame.temporal_patch_size);
                resize_frames(frames, height, width, factor, frame.min_pixels, max_pixels)
            }
        }
    }

    /// Most pixels of one of `n_frames` frames.
    fn max_pixels(&self, n_frames: usize, max_total_pixels: Option<usize>) -> usize {
        let ImageSettings { max_pixels, temporal_patch_size, .. } = self.frame;
        max_total_pixels.map_or(max_pixels, |total| {
            let share = total.saturating_mul(temporal_patch_size) / n_frames;
            max_pixels.min(share).max(self.least())
        })
    }

    /// A frame may always be a little larger than the lower bound, however many there are.
    fn least(&self) -> usize {
        const SLACK: f64 = 1.05;
        (self.frame.min_pixels as f64 * SLACK) as usize
    }
}

fn ensure(
    fits: bool,
    key: &'static str,
    expected: impl Into<String>,
    got: impl ToString,
) -> Result<(), VisionError> {
    if fits {
        return Ok(());
    }
    Err(VisionError::Setting { key, expected: expected.into(), got: got.to_string() })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Patches of 14 pixels, two by two to a token, with bounds of 3,136 and 1,003,520 pixels.
    pub(crate) fn settings() -> ImageSettings {
        ImageSettings {
            patch_size: 14,
            temporal_patch_size: 2,
            merge_size: 2,
            image_mean: [0.5; 3],
            image_std: [0.25; 3],
            rescale_factor: 1.0 / 255.0,
            do_resize: true,
            do_rescale: true,
            do_normalize: true,
            filter: Filter::Bicubic,
            min_pixels: 3136,
            max_pixels: 1_003_520,
            tiling: None,
        }
    }

    #[track_caller]
    fn check_refused(change: impl Fn(&mut ImageSettings), expected: &str) {
        let mut settings = settings();
        change(&mut settings);
        assert_eq!(settings.check().unwrap_err().to_string(), expected);
    }

    #[test]
    fn a_setting_that_cannot_be_is_named() {
        settings().check().unwrap();
        check_refused(|s| s.patch_size = 0, "patch_size should be at least 1, got 0");
        check_refused(
            |s| s.image_std = [1.0, 0.0, 1.0],
            "image_std should be three numbers other than 0, got [1.0, 0.0, 1.0]",
        );
        check_refused(|s| s.max_pixels = 8, "max_pixels should be at least min_pixels, got 8");
        check_refused(
            |s| s.rescale_factor = 0.0,
            "rescale_factor should be a number other than 0, got 0",
        );
    }

    #[test]
    fn sizes_that_no_machine_could_hold_are_refused() {
        check_refused(
            |s| s.merge_size = 1 << 32,
            "merge_size should be at most 1024, got 4294967296",
        );
        check_refused(
            |s| s.merge_size = 1000,
            "merge_size should be at most 1024 / patch_size (14), got 1000",
        );
        check_refused(
            |s| s.min_pixels = 1 << 60,
            "min_pixels should be at most 67108864, got 1152921504606846976",
        );
        check_refused(
            |s| s.temporal_patch_size = 17,
            "temporal_patch_size should be at most 16, got 17",
        );
    }

    #[test]
    fn videos_and_images_share_a_grid() {
        let frame = ImageSettings { patch_size: 8, ..settings() };
        let bounds = VideoBounds::EachFrame { max_total_pixels: None };
        let video = VideoSettings { frame, sampling: None, bounds };
        let message = video.check(&settings()).unwrap_err().to_string();
        assert_eq!(message, "patch_size should be 14, as for images, got 8");
    }

    #[test]
    fn the_frames_of_a_video_may_have_to_share() {
        let bounds = VideoBounds::EachFrame { max_total_pixels: None };
        let mut video = VideoSettings { frame: settings(), sampling: None, bounds };
        (video.frame.min_pixels, video.frame.max_pixels) = (100_352, 602_112);
        assert_eq!(video.max_pixels(10, Some(705_600)), 141_120);
        assert_eq!(video.max_pixels(1000, Some(705_600)), 105_369);
        assert_eq!(video.max_pixels(1, Some(705_600)), 602_112);
        assert_eq!(video.max_pixels(1, Some(usize::MAX)), 602_112);
    }

    #[test]
    fn a_tile_is_cut_into_whole_tokens() {
        let tiling = |side, longest_edge| {
            Some(Tiling { side, longest_edge, split: true, max_pixels: usize::MAX })
        };
        let mut settings = settings();
        // What is left beside the patches is cut off: 57 pixels are 4 patches of 14.
        settings.tiling = tiling(57, 200);
        settings.check().unwrap();
        let expected = "max_image_size.longest_edge should be so many patches of 14 pixels that \
                        2 × 2 make a token, got 43";
        check_refused(|s| s.tiling = tiling(43, 200), expected);
        check_refused(
            |s| s.tiling = tiling(56, 0),
            "size.longest_edge should be 1 to 65536, got 0",
        );
    }
}
