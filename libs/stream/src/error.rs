//! What can be wrong with a frame or a remark.

/// Something from outside that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// An encoding that is not one of those that cameras send.
    #[error(
        "encoding {0:?}: expected rgb8, bgr8, rgba8, bgra8, mono8, yuv420, nv12, yuyv, jpeg, png, webp, bmp, gif, tiff or pbm"
    )]
    Encoding(String),
    /// Sides that no picture has.
    #[error(
        "a {encoding} frame of {width} × {height} pixels: expected width and height as whole numbers above 0"
    )]
    Size {
        /// How the pixels are laid out.
        encoding: String,
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
    },
    /// Bytes that do not fit the sides.
    #[error(
        "a {encoding} frame of {width} × {height} pixels should be {expected} bytes, got {got}"
    )]
    Bytes {
        /// How the pixels are laid out.
        encoding: String,
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
        /// Bytes of such a frame.
        expected: usize,
        /// Bytes that came.
        got: usize,
    },
    /// A picture file that cannot be read.
    #[error("a {encoding} frame: {source}")]
    Decode {
        /// What it was said to be.
        encoding: String,
        /// What the decoder said.
        source: vrft_vision::VisionError,
    },
    /// A picture that cannot be written.
    #[error("cannot encode a frame: {0}")]
    Encode(image::ImageError),
    /// A remark that is not understood.
    #[error("feedback {text:?}: {why}")]
    Feedback {
        /// What came, cut.
        text: String,
        /// What was expected.
        why: String,
    },
    /// The journal cannot be written or read.
    #[error("journal {path:?}: {source}")]
    Journal {
        /// The file.
        path: std::path::PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
}
