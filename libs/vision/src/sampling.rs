//! Which frames of a video the model sees.

use crate::{Video, VisionError};

/// How many frames are picked, evenly spread over the video.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FrameSampling {
    /// How many are wanted.
    pub target: FrameTarget,
    /// Fewest frames where they are picked by a rate.
    pub min_frames: usize,
    /// Most frames where they are picked by a rate.
    pub max_frames: usize,
}

/// How many frames are wanted; a multiple of the frames to a patch is what is picked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FrameTarget {
    /// So many, whatever the length of the video.
    Frames(usize),
    /// So many for each second.
    FramesPerSecond(f64),
}

impl FrameSampling {
    /// Numbers of the picked frames, ascending; as `sample_frames` of transformers' video processors.
    ///
    /// # Errors
    /// A video with fewer frames than are asked for, or than make one temporal patch.
    pub(crate) fn frames(&self, video: &Video, multiple: usize) -> Result<Vec<usize>, VisionError> {
        let n_frames = video.frames().len();
        let n = self.n_picked(n_frames, video.frames_per_second(), multiple);
        if n == 0 || n > n_frames {
            let expected = n.max(multiple);
            return Err(VisionError::TooFewFrames { expected, got: n_frames });
        }
        let step = n_frames as f64 / n as f64;
        // As many steps as there are before the end; torch multiplies in f64 and stores f32.
        let n_steps = (n_frames as f64 / step).ceil() as usize;
        Ok((0..n_steps).map(|i| (i as f64 * step) as f32 as usize).collect())
    }

    fn n_picked(&self, n_frames: usize, frames_per_second: f64, multiple: usize) -> usize {
        let multiple = multiple as f64;
        let wanted = match self.target {
            FrameTarget::Frames(n) => (n as f64 / multiple).round_ties_even() * multiple,
            FrameTarget::FramesPerSecond(rate) => {
                let most = (self.max_frames.min(n_frames) as f64 / multiple).floor() * multiple;
                let wanted = n_frames as f64 / frames_per_second * rate;
                let wanted = wanted.max(self.min_frames as f64).min(most).min(n_frames as f64);
                (wanted / multiple).floor() * multiple
            }
        };
        wanted as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Pixels;

    #[track_caller]
    fn check(target: FrameTarget, n_frames: usize, rate: f64, expected: &[usize]) {
        let sampling = FrameSampling { target, min_frames: 4, max_frames: 8 };
        assert_eq!(sampling.frames(&video(n_frames, rate), 2).expect("enough frames"), expected);
    }

    fn video(n_frames: usize, rate: f64) -> Video {
        let frame = Pixels::try_new(1, 1, vec![0; 3]).expect("a pixel");
        Video::try_new(vec![frame; n_frames], rate).expect("a video")
    }

    /* Equivalent python code:
    processor = VideoProcessor(min_frames=4, max_frames=8)
    processor.sample_frames(VideoMetadata(total_num_frames=10, fps=5), fps=2).tolist() */
    #[test]
    fn frames_are_spread_evenly() {
        check(FrameTarget::FramesPerSecond(2.0), 10, 5.0, &[0, 2, 5, 7]);
        check(FrameTarget::FramesPerSecond(2.0), 30, 10.0, &[0, 5, 10, 15, 20, 25]);
        check(FrameTarget::Frames(5), 7, 1.0, &[0, 1, 3, 5]);
        check(FrameTarget::Frames(6), 14, 1.0, &[0, 2, 4, 7, 9, 11]);
    }

    #[test]
    fn their_number_is_bounded() {
        check(FrameTarget::FramesPerSecond(2.0), 100, 2.0, &[0, 12, 25, 37, 50, 62, 75, 87]);
        check(FrameTarget::FramesPerSecond(0.1), 20, 10.0, &[0, 5, 10, 15]);
        check(FrameTarget::FramesPerSecond(2.0), 3, 1.0, &[0, 1]);
    }

    #[test]
    fn a_video_may_be_too_short() {
        let sampling =
            FrameSampling { target: FrameTarget::Frames(6), min_frames: 4, max_frames: 8 };
        let message = sampling.frames(&video(5, 1.0), 2).expect_err("short").to_string();
        assert_eq!(message, "a video should have at least 6 frames to sample from, got 5");
    }
}
