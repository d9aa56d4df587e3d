//! Pictures that are a little off: how far the pixels of an attacked picture may lie from those of the original, and one
//! step of projected gradient descent (PGD, [arXiv 1706.06083](https://arxiv.org/abs/1706.06083), section 2.1) within
//! that bound.

use crate::{Patches, Tiles, VisionError};

/// Color channels of a patch.
const CHANNELS: usize = 3;

/// What bytes are in normalized pixels, for each color channel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PixelRange {
    /// The normalized value of byte 0.
    pub black: [f32; 3],
    /// The normalized value of byte 255.
    pub white: [f32; 3],
    /// Frames to a patch, in which a still picture is repeated.
    pub frames_per_patch: usize,
}

impl PixelRange {
    /// How much 1/255 of the way from black to white is.
    fn byte(&self, channel: usize) -> f32 {
        (self.white[channel] - self.black[channel]) / 255.0
    }
}

/// All pictures whose every pixel is at most ε from that of one picture, and between black and white: a ball of the
/// L-infinity norm, cut off at the bounds of what a picture can be. Pixels are those that the model sees, after scaling.
#[derive(Debug, Clone)]
pub struct PixelBall<'a> {
    center: &'a Patches,
    range: PixelRange,
    /// ε in units of 1/255 of the way from black to white.
    epsilon: f32,
    /// Whether each patch shows one picture in all of its frames, so that they change together.
    is_still: bool,
}

impl<'a> PixelBall<'a> {
    /// The ball of radius `epsilon`, in units of 1/255, around a picture or video.
    ///
    /// # Errors
    /// A picture that is cut into tiles with one of the whole beside them; patches without three channels of whole frames.
    pub fn new(center: &'a Patches, range: PixelRange, epsilon: f64) -> Result<Self, VisionError> {
        if center.tiles != Tiles::default() {
            let Tiles { rows, columns } = center.tiles;
            return Err(VisionError::Setting {
                key: "attacked picture",
                expected: "in one piece: the same pixels stand in a tile and, scaled down, in the tile of the whole, and \
                           each would be attacked by itself, as no picture could be"
                    .to_owned(),
                got: format!("{rows} × {columns} tiles and one of the whole"),
            });
        }
        let (row_len, frames) = (center.row_len(), range.frames_per_patch.max(1));
        if row_len == 0 || !row_len.is_multiple_of(CHANNELS * frames) {
            return Err(VisionError::Setting {
                key: "patches of an attacked picture",
                expected: format!("of {CHANNELS} channels and {frames} frames each"),
                got: format!("{row_len} values"),
            });
        }
        let mut ball = Self { center, range, epsilon: epsilon as f32, is_still: false };
        ball.is_still = center.pixels.chunks(ball.frames_len()).all(|frames| {
            let (first, others) = frames.split_at(ball.frame_len());
            others.chunks(first.len()).all(|other| other == first)
        });
        Ok(ball)
    }

    /// A point of the ball, drawn evenly from each pixel's interval by numbers in [-1, 1].
    pub fn random_point(&self, mut draw: impl FnMut() -> f32) -> Patches {
        let (n, frame) = (self.frames_len(), self.frame_len());
        let mut pixels = self.center.pixels.clone();
        for (idx, frames) in pixels.chunks_mut(n).enumerate() {
            let byte = self.byte_of(idx);
            for at in 0..if self.is_still { frame } else { n } {
                let change = draw() * self.epsilon * byte;
                let all = if self.is_still { at..n } else { at..at + 1 };
                all.step_by(frame).for_each(|at| frames[at] += change);
            }
        }
        self.with(self.projected(pixels))
    }

    /// One step of gradient ascent from a point, by `step_size` (in units of 1/255) in the direction of the sign of each
    /// pixel's gradient, then back into the ball. `gradient` has a value for each of the picture's; where a still picture
    /// is repeated in the frames of a patch, a pixel's gradient is the sum over the frames.
    pub fn step(&self, from: &Patches, gradient: &[f32], step_size: f64) -> Patches {
        let (n, frame) = (self.frames_len(), self.frame_len());
        let mut pixels = from.pixels.clone();
        let together = pixels.chunks_mut(n).zip(gradient.chunks(n)).enumerate();
        for (idx, (frames, slopes)) in together {
            let step = step_size as f32 * self.byte_of(idx);
            for (at, pixel) in frames.iter_mut().enumerate() {
                let slope = if self.is_still {
                    slopes[at % frame..].iter().step_by(frame).sum()
                } else {
                    slopes[at]
                };
                // No gradient, no step: the sign of 0 is 0.
                if slope != 0.0 {
                    *pixel += step * slope.signum();
                }
            }
        }
        self.with(self.projected(pixels))
    }

    /// The nearest point of the ball.
    fn projected(&self, mut pixels: Vec<f32>) -> Vec<f32> {
        let n = self.frames_len();
        let together = pixels.chunks_mut(n).zip(self.center.pixels.chunks(n)).enumerate();
        for (idx, (frames, centers)) in together {
            let (channel, radius) = (idx % CHANNELS, self.epsilon * self.byte_of(idx));
            let ends = [self.range.black[channel], self.range.white[channel]];
            let (low, high) = (ends[0].min(ends[1]), ends[0].max(ends[1]));
            for (pixel, center) in frames.iter_mut().zip(centers) {
                // A resampled picture is within these bounds; the original stays itself in any case.
                let (low, high) = (low.min(*center), high.max(*center));
                *pixel = pixel.clamp((center - radius).max(low), (center + radius).min(high));
            }
        }
        pixels
    }

    fn with(&self, pixels: Vec<f32>) -> Patches {
        Patches { pixels, grid: self.center.grid, tiles: self.center.tiles }
    }

    /// Size of 1/255 in the channel that a stretch of frames belongs to.
    fn byte_of(&self, idx: usize) -> f32 {
        self.range.byte(idx % CHANNELS).abs()
    }

    /// Values of one channel of a patch.
    fn frames_len(&self) -> usize {
        self.center.row_len() / CHANNELS
    }

    /// Values of one frame of one channel of a patch.
    fn frame_len(&self) -> usize {
        self.frames_len() / self.range.frames_per_patch.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Grid;

    const RANGE: PixelRange =
        PixelRange { black: [0.0; 3], white: [255.0; 3], frames_per_patch: 2 };

    /// One patch of one pixel, in two frames.
    fn pixel(values: [f32; 6]) -> Patches {
        Patches::whole(values.to_vec(), Grid { t: 1, h: 1, w: 1 })
    }

    #[test]
    fn the_frames_of_a_still_picture_change_together_by_the_sum_of_their_gradients() {
        let center = pixel([100., 100., 50., 50., 7., 7.]);
        let ball = PixelBall::new(&center, RANGE, 4.0).unwrap();
        let moved = ball.step(&center, &[3., -1., -2., 1., 1., -1.], 3.0);
        assert_eq!(moved.pixels, [103., 103., 47., 47., 7., 7.]);
        let further = ball.step(&moved, &[1.; 6], 3.0);
        assert_eq!(further.pixels, [104., 104., 50., 50., 10., 10.]);
    }

    #[test]
    fn the_frames_of_a_video_change_each_by_its_own() {
        let center = pixel([100., 101., 50., 50., 7., 7.]);
        let ball = PixelBall::new(&center, RANGE, 4.0).unwrap();
        let moved = ball.step(&center, &[3., -1., -2., 1., 1., -1.], 3.0);
        assert_eq!(moved.pixels, [103., 98., 47., 53., 10., 4.]);
    }

    #[test]
    fn no_pixel_is_blacker_than_black_or_whiter_than_white() {
        let center = pixel([1., 1., 254., 254., 100., 100.]);
        let ball = PixelBall::new(&center, RANGE, 4.0).unwrap();
        let moved = ball.step(&center, &[-1., -1., 1., 1., 0., 0.], 4.0);
        assert_eq!(moved.pixels, [0., 0., 255., 255., 100., 100.]);
    }

    #[test]
    fn a_random_point_is_within_the_ball_and_still_where_the_picture_is() {
        let center = pixel([100., 100., 2., 2., 7., 7.]);
        let ball = PixelBall::new(&center, RANGE, 4.0).unwrap();
        let mut draws = [0.5, -1.0, 0.25].into_iter();
        let point = ball.random_point(|| draws.next().unwrap());
        assert_eq!(point.pixels, [102., 102., 0., 0., 8., 8.]);
    }

    #[test]
    fn a_picture_in_tiles_is_refused() {
        let mut center = pixel([0.; 6]);
        center.tiles = Tiles { rows: 1, columns: 2 };
        let message = PixelBall::new(&center, RANGE, 4.0).unwrap_err().to_string();
        assert!(message.starts_with("attacked picture should be in one piece"), "{message}");
        assert!(message.ends_with("got 1 × 2 tiles and one of the whole"), "{message}");
    }
}
