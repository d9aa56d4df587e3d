//! A video as frames.

use crate::{Pixels, VisionError, decode};

/// Frames of one size, in order, and how fast they follow each other.
#[derive(Debug, Clone, PartialEq)]
pub struct Video {
    frames: Vec<Pixels>,
    frames_per_second: f64,
}

impl Video {
    /// The rate that transformers assumes where none is known.
    pub const DEFAULT_RATE: f64 = 24.0;

    /// Takes decoded frames.
    ///
    /// # Errors
    /// No frame, a frame of another size than the first, a rate that is not above 0.
    pub fn try_new(frames: Vec<Pixels>, frames_per_second: f64) -> Result<Self, VisionError> {
        let Some(first) = frames.first() else { return Err(VisionError::NoFrames) };
        if !(frames_per_second > 0.0 && frames_per_second.is_finite()) {
            return Err(VisionError::FrameRate { got: frames_per_second });
        }
        let expected = (first.width, first.height);
        for (frame_idx, frame) in frames.iter().enumerate() {
            let got = (frame.width, frame.height);
            if got != expected {
                return Err(VisionError::FrameSize { frame_idx, expected, got });
            }
        }
        Ok(Self { frames, frames_per_second })
    }

    /// Decodes frames that are image files: PNG, JPEG, WebP, BMP, GIF, TIFF or PNM.
    ///
    /// # Errors
    /// As [`Video::try_new`], and a frame that cannot be decoded, by its number.
    pub fn decode<B: AsRef<[u8]>>(
        frames: &[B],
        frames_per_second: f64,
    ) -> Result<Self, VisionError> {
        let decoded = frames.iter().enumerate().map(|(frame_idx, bytes)| {
            decode(bytes.as_ref())
                .map_err(|source| VisionError::Frame { frame_idx, source: Box::new(source) })
        });
        Self::try_new(decoded.collect::<Result<_, _>>()?, frames_per_second)
    }

    /// The frames, at least one.
    pub fn frames(&self) -> &[Pixels] {
        &self.frames
    }

    /// Frames a second, above 0.
    pub fn frames_per_second(&self) -> f64 {
        self.frames_per_second
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(width: usize, height: usize) -> Pixels {
        Pixels::try_new(width, height, vec![0; width * height * 3]).expect("fits")
    }

    #[track_caller]
    fn check_error(frames: Vec<Pixels>, rate: f64, expected: &str) {
        let message = Video::try_new(frames, rate).expect_err("refused").to_string();
        assert_eq!(message, expected);
    }

    #[test]
    fn frames_must_be_of_one_size() {
        check_error(
            vec![frame(4, 3), frame(4, 3), frame(3, 4)],
            1.0,
            "frame 2 of the video should be 4 × 3 pixels like the first, got 3 × 4",
        );
    }

    #[test]
    fn a_video_has_frames_and_a_rate() {
        check_error(vec![], 1.0, "a video should have at least one frame, got none");
        check_error(vec![frame(1, 1)], 0.0, "frames per second should be above 0, got 0");
        check_error(vec![frame(1, 1)], f64::NAN, "frames per second should be above 0, got NaN");
    }

    #[test]
    fn a_broken_frame_is_named() {
        let message = Video::decode(&[b"no"], 1.0).expect_err("broken").to_string();
        assert!(message.starts_with("frame 0 of the video: cannot decode 2 bytes"), "{message}");
    }
}
