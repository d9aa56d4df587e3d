//! What can go wrong between a conversation and what the model reads.

use std::path::{Path, PathBuf};

use vrft_checkpoint::CheckpointError;
use vrft_vision::VisionError;

/// A checkpoint whose processor cannot be used, or a conversation that it cannot encode.
#[derive(Debug, thiserror::Error)]
pub enum ProcessorError {
    /// A file of the checkpoint cannot be used.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A picture that a conversation names is absent or unreadable.
    #[error("cannot read {path:?}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The checkpoint does not say how pictures are scaled and cut.
    #[error(
        "{dir:?} has no image settings: expected preprocessor_config.json, \
         or processor_config.json with an image_processor section"
    )]
    NoImageSettings {
        /// The checkpoint directory.
        dir: PathBuf,
    },
    /// A part of a conversation that is not as it should be.
    #[error("{what} should be {expected}, got {got}")]
    Input {
        /// Which part, by index where there are several.
        what: String,
        /// What would be accepted.
        expected: String,
        /// What came.
        got: String,
    },
    /// A token that a prompt needs and the tokenizer does not have.
    #[error("{message}")]
    Placeholder {
        /// Which token, and where it is named.
        message: String,
    },
    /// The chat template is absent, broken, or refuses the conversation.
    #[error("chat template: {message}")]
    ChatTemplate {
        /// Line and reason.
        message: String,
    },
    /// The tokenizer cannot take a text or token ids.
    #[error("tokenizer: {message}")]
    Tokenizer {
        /// The tokenizer's own words.
        message: String,
    },
    /// An image of a prompt that cannot be used.
    #[error("image {image_idx} of the prompt: {source}")]
    Image {
        /// Which image, from 0.
        image_idx: usize,
        /// What is wrong with it.
        source: VisionError,
    },
    /// A video of a prompt that cannot be used.
    #[error("video {video_idx} of the prompt: {source}")]
    Video {
        /// Which video, from 0.
        video_idx: usize,
        /// What is wrong with it.
        source: VisionError,
    },
    /// Image settings that exclude each other.
    #[error(transparent)]
    Settings(#[from] VisionError),
}

impl ProcessorError {
    pub(crate) fn input(
        what: impl Into<String>,
        expected: impl ToString,
        got: impl ToString,
    ) -> Self {
        Self::Input { what: what.into(), expected: expected.to_string(), got: got.to_string() }
    }

    pub(crate) fn damaged(path: &Path, message: impl ToString) -> Self {
        CheckpointError::damaged(path, message).into()
    }
}
