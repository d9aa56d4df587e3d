//! Which frames of a video the model sees.

use crate::{Video, VisionError};

/// How many frames are picked, evenly spread over the video.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FrameSampling {
    /// Where they are picked.
    pub rule: SamplingRule,
    /// How many are wanted.
    pub target: FrameTarget,
    /// Fewest frames where they are picked by a rate.
    pub min_frames: usize,
    /// Most frames where they are picked by a rate.
    pub max_frames: usize,
}

/// Where frames are picked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SamplingRule {
    /// From the first one on in equal steps: the last is one step before the end.
    Steps,
    /// From the first to the last.
    BothEnds,
    /// From the first to the last, without a second at either end of a long video.
    Middle,
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
        match self.rule {
            SamplingRule::Steps => self.in_steps(video, multiple),
            SamplingRule::BothEnds => Ok(self.between_both_ends(video)),
            SamplingRule::Middle => Ok(self.in_the_middle(video)),
        }
    }

    fn in_steps(&self, video: &Video, multiple: usize) -> Result<Vec<usize>, VisionError> {
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

    fn between_both_ends(&self, video: &Video) -> Vec<usize> {
        let n_frames = video.frames().len();
        let wanted = match self.target {
            FrameTarget::Frames(n) => n,
            FrameTarget::FramesPerSecond(rate) => {
                let wanted = (n_frames as f64 / video.frames_per_second() * rate) as usize;
                wanted.max(self.min_frames).min(self.max_frames).min(n_frames)
            }
        };
        let round = |place: f64| place.round_ties_even() as usize;
        evenly(0, n_frames - 1, wanted).map(round).collect()
    }

    fn in_the_middle(&self, video: &Video) -> Vec<usize> {
        const SKIPPED_SECONDS: f64 = 1.0;
        let (n_frames, own_rate) = (video.frames().len(), video.frames_per_second());
        let seconds = n_frames as f64 / own_rate;
        let (wanted, rate) = match self.target {
            FrameTarget::Frames(n) => (n, 1.0),
            FrameTarget::FramesPerSecond(rate) => {
                ((rate * seconds).round_ties_even() as usize, rate)
            }
        };
        let wanted = wanted.min(self.max_frames).max(1);
        let last = n_frames - 1;
        let mut range = (0, last);
        if seconds - 2.0 * SKIPPED_SECONDS > self.max_frames as f64 * rate {
            let skipped = SKIPPED_SECONDS * own_rate;
            range = (skipped as usize, ((n_frames as f64 - skipped) as usize).min(last));
        }
        if range.0 >= range.1 {
            range = (0, last);
        }
        let mut picked: Vec<usize> =
            evenly(range.0, range.1, wanted).map(|place| place as usize).collect();
        picked.dedup();
        picked
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

/// `n` places from `first` to `last`, as numpy's `linspace`.
fn evenly(first: usize, last: usize, n: usize) -> impl Iterator<Item = f64> {
    let step = (last - first) as f64 / n.saturating_sub(1).max(1) as f64;
    (0..n).map(move |i| {
        let is_end = n > 1 && i + 1 == n;
        if is_end { last as f64 } else { i as f64 * step + first as f64 }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Pixels;

    #[track_caller]
    fn check(target: FrameTarget, n_frames: usize, rate: f64, expected: &[usize]) {
        let sampling =
            FrameSampling { rule: SamplingRule::Steps, target, min_frames: 4, max_frames: 8 };
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
        let (rule, target) = (SamplingRule::Steps, FrameTarget::Frames(6));
        let sampling = FrameSampling { rule, target, min_frames: 4, max_frames: 8 };
        let message = sampling.frames(&video(5, 1.0), 2).expect_err("short").to_string();
        assert_eq!(message, "a video should have at least 6 frames to sample from, got 5");
    }

    /* Equivalent python code, for rates that a second holds:
    Qwen3VLVideoProcessor(min_frames=4, max_frames=8).sample_frames(VideoMetadata(total_num_frames=10, fps=5), fps=2)
    SmolVLMVideoProcessor().sample_frames(VideoMetadata(total_num_frames=70, fps=10, duration=7), num_frames=4, fps=1) */
    #[test]
    fn other_rules_pick_other_frames() {
        let pick = |rule, target, n_frames, rate, max_frames| {
            let sampling = FrameSampling { rule, target, min_frames: 4, max_frames };
            sampling.frames(&video(n_frames, rate), 2).unwrap()
        };
        let rate = FrameTarget::FramesPerSecond;
        assert_eq!(pick(SamplingRule::BothEnds, rate(2.0), 10, 5.0, 8), [0, 3, 6, 9]);
        assert_eq!(
            pick(SamplingRule::BothEnds, FrameTarget::Frames(5), 7, 1.0, 8),
            [0, 2, 3, 4, 6]
        );
        assert_eq!(pick(SamplingRule::Middle, rate(1.0), 70, 10.0, 4), [10, 26, 43, 60]);
        assert_eq!(pick(SamplingRule::Middle, rate(1.0), 30, 10.0, 4), [0, 14, 29]);
        assert_eq!(pick(SamplingRule::Middle, rate(0.1), 30, 10.0, 4), [10]);
    }
}
