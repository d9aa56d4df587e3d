//! What can be wrong with an image or with the settings of the preprocessor.

use crate::header::FORMATS;

/// An image that cannot be turned into patches, or settings that do not describe how to.
#[derive(Debug, thiserror::Error)]
pub enum VisionError {
    /// Bounds for the pixels of an image that exclude each other.
    #[error("min_pixels should be at most max_pixels = {max}, got {min}")]
    Bounds {
        /// The lower one.
        min: usize,
        /// The upper one.
        max: usize,
    },
    /// A setting outside of what patches can be made with.
    #[error("{key} should be {expected}, got {got}")]
    Setting {
        /// Name of the setting in Hugging Face's files.
        key: &'static str,
        /// What would be accepted.
        expected: String,
        /// The value found.
        got: String,
    },
    /// Bytes that are no image, or a broken one.
    #[error("cannot decode {n_bytes} bytes as an image ({FORMATS} are decoded): {source}")]
    Decode {
        /// How many bytes there were.
        n_bytes: usize,
        /// The decoder's own words.
        source: image::ImageError,
    },
    /// The bytes of an image cannot be read.
    #[error("cannot read the image: {0}")]
    Io(std::io::Error),
    /// A file of a known format that is not decoded.
    #[error("{name} is not decoded: convert it to one of {FORMATS}")]
    Format {
        /// Name of the format.
        name: &'static str,
    },
    /// What stands for a file that Git keeps elsewhere.
    #[error("it is a Git LFS pointer: `git lfs pull` fetches the picture itself")]
    LfsPointer,
    /// A header that asks for more pixels than are ever decoded.
    #[error("{width} × {height} pixels are more than an image may have ({max}): scale it down")]
    TooLarge {
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
        /// Pixels that an image may have.
        max: usize,
    },
    /// A header that asks for more pixels than the file can hold, however well it is compressed.
    #[error("{width} × {height} pixels do not fit into a file of {n_bytes} bytes: it is damaged")]
    Impossible {
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
        /// Bytes of the file.
        n_bytes: u64,
    },
    /// A JPEG whose end is missing.
    #[error("the jpeg breaks off after {n_bytes} bytes, before its end marker")]
    BreaksOff {
        /// How many bytes there were.
        n_bytes: usize,
    },
    /// A JPEG with a broken inside.
    #[error("cannot decode {n_bytes} bytes as a jpeg: {message}")]
    Jpeg {
        /// How many bytes there were.
        n_bytes: usize,
        /// The decoder's own words.
        message: String,
    },
    /// Raw pixels whose number does not fit the size given with them.
    #[error("{width} × {height} RGB pixels should be {expected} bytes, got {got}")]
    RawPixels {
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
        /// Bytes that the size asks for.
        expected: usize,
        /// Bytes found.
        got: usize,
    },
    /// A picture without pixels.
    #[error("an image should have at least one pixel, got {width} × {height}")]
    Empty {
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
    },
    /// A picture too long and narrow for the patch grid.
    #[error("the longer side should be at most 200 times the shorter one, got {width} × {height}")]
    AspectRatio {
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
    },
    /// A picture whose sides do not fit the patch grid, in a checkpoint that scales none.
    #[error(
        "sides should be multiples of {factor} pixels, since do_resize is false, got {width} × {height}"
    )]
    Unscaled {
        /// What the sides should be a multiple of.
        factor: usize,
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
    },
    /// A video without a frame.
    #[error("a video should have at least one frame, got none")]
    NoFrames,
    /// A video with too few frames.
    #[error("a video should have at least {expected} frames to sample from, got {got}")]
    TooFewFrames {
        /// Frames asked for.
        expected: usize,
        /// Frames found.
        got: usize,
    },
    /// A rate that is zero, negative or no number.
    #[error("frames per second should be above 0, got {got}")]
    FrameRate {
        /// The rate given.
        got: f64,
    },
    /// A frame that is larger or smaller than the first.
    #[error(
        "frame {frame_idx} of the video should be {} × {} pixels like the first, got {} × {}",
        expected.0, expected.1, got.0, got.1
    )]
    FrameSize {
        /// Which frame, from 0.
        frame_idx: usize,
        /// Width and height of the first frame.
        expected: (usize, usize),
        /// Width and height found.
        got: (usize, usize),
    },
    /// A frame that cannot be decoded.
    #[error("frame {frame_idx} of the video: {source}")]
    Frame {
        /// Which frame, from 0.
        frame_idx: usize,
        /// What is wrong with it.
        source: Box<VisionError>,
    },
}
