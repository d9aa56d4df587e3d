//! What can be wrong with a SAM, or with what it is asked.

use vrft_checkpoint::CheckpointError;

/// A checkpoint that is no SAM which we can run, a box that is none, a forward pass that failed.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    /// A file that is absent, damaged, or of another model.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Tensors that are absent, or of other shapes than the configuration says.
    #[error("{path:?}: {message}")]
    Weights {
        /// The folder or file.
        path: std::path::PathBuf,
        /// Which tensor, what was expected, and what was found.
        message: String,
    },
    /// A box without a place in the picture.
    #[error(
        "box {index} is {corners:?}; expected x1, y1, x2, y2 in pixels of the picture, with x1 < x2 and y1 < y2, at least partly \
         within its {width} x {height} pixels"
    )]
    Box {
        /// Which of the boxes, from 0.
        index: usize,
        /// What was given.
        corners: [f64; 4],
        /// Width of the picture in pixels.
        width: usize,
        /// Height of the picture in pixels.
        height: usize,
    },
    /// The forward pass failed.
    #[error("the segmentation model failed: {0}")]
    Tensor(#[from] candle_core::Error),
}
