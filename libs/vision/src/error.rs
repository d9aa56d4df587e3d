//! What can be wrong with an image or with the settings of the preprocessor.

use std::path::PathBuf;

/// An image that cannot be turned into patches, or settings that do not describe how to.
#[derive(Debug, thiserror::Error)]
pub enum VisionError {
    /// A file of the checkpoint is absent or unreadable.
    #[error("cannot read {path:?}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file of the checkpoint that is not the JSON it should be.
    #[error("{path:?} is damaged: {source}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The parser's own words.
        source: serde_json::Error,
    },
    /// Neither of the files that may hold the image settings is there.
    #[error(
        "{dir:?} has no image settings: expected preprocessor_config.json, \
         or processor_config.json with an image_processor section"
    )]
    NoSettings {
        /// The checkpoint directory.
        dir: PathBuf,
    },
    /// A setting outside what this preprocessor does.
    #[error("image setting {key} should be {expected}, got {got}")]
    Setting {
        /// The key, as in `preprocessor_config.json`.
        key: &'static str,
        /// What would be accepted.
        expected: &'static str,
        /// The value found.
        got: String,
    },
    /// Bytes that are no image, or a broken one.
    #[error(
        "cannot decode {n_bytes} bytes as an image (png, jpeg, webp and bmp are known): {source}"
    )]
    Decode {
        /// How many bytes there were.
        n_bytes: usize,
        /// The decoder's own words.
        source: image::ImageError,
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
}
