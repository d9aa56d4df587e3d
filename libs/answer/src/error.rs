//! Why a question cannot be answered.

use std::path::PathBuf;

/// A checkpoint that cannot be used, a question that cannot be asked, a picture that cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// A checkpoint that is not there.
    #[error("{name:?}: {why}")]
    Target {
        /// As it was given.
        name: String,
        /// What is missing, and what would be accepted.
        why: String,
    },
    /// A file that cannot be read or written.
    #[error("{path:?}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A picture that cannot be shown to the policy.
    #[error("picture {number}: {why}")]
    Picture {
        /// Its place among the pictures of the question, from 1.
        number: usize,
        /// What is wrong with it.
        why: String,
    },
    /// Pictures that are not as many as the question speaks of.
    #[error("the question speaks of {expected} pictures, got {got}")]
    NumberOfPictures {
        /// Places for pictures in the question.
        expected: usize,
        /// Pictures given.
        got: usize,
    },
    /// A checkpoint whose files were replaced while it was loaded.
    #[error("{path:?} was written while it was loaded: its files are not of one checkpoint")]
    Changed {
        /// Folder of the checkpoint.
        path: PathBuf,
    },
    /// A question that leaves no room for its answer.
    #[error(
        "the text of the question has {n_text} tokens, its pictures have {n_pictures}, and the answer may have {max_tokens}: \
         together {}, at most {positions} are taken; {}",
        n_text + n_pictures + max_tokens, shorten(*n_text, *n_pictures, *max_tokens)
    )]
    TooLong {
        /// Tokens of the question's words, with those of earlier turns and of the chat template.
        n_text: usize,
        /// Tokens of its pictures.
        n_pictures: usize,
        /// Tokens that the answer may take.
        max_tokens: usize,
        /// Tokens that the model takes.
        positions: usize,
    },
    /// A section of a configuration.
    #[error(transparent)]
    Config(#[from] vrft_config::ConfigError),
    /// Files of a checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] vrft_checkpoint::CheckpointError),
    /// The policy.
    #[error(transparent)]
    Model(#[from] vrft_model::ModelError),
    /// Tokenizer, chat template or pictures.
    #[error(transparent)]
    Processor(#[from] vrft_processor::ProcessorError),
    /// The decoding.
    #[error(transparent)]
    Rollout(#[from] vrft_rollout::RolloutError),
    /// A version of the learner.
    #[error(transparent)]
    Weights(#[from] vrft_weights::WeightsError),
}

/// What to do about a question that is too long: something about the longest part of it.
fn shorten(n_text: usize, n_pictures: usize, max_tokens: usize) -> &'static str {
    if n_text >= n_pictures.max(max_tokens) {
        "ask with fewer words, or with fewer earlier turns"
    } else if n_pictures >= max_tokens {
        "show fewer pictures, or smaller ones (policy.max_pixels)"
    } else {
        "ask for a shorter answer (answer.max_tokens)"
    }
}
