//! What can go wrong with a checkpoint or a forward pass.

use std::path::PathBuf;

/// A checkpoint that cannot be used, or an input that the model cannot take.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// A file of the checkpoint is absent or unreadable.
    #[error("cannot read {path:?}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file of the checkpoint could not be written.
    #[error("cannot write {path:?}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file that is there but is not what its name promises.
    #[error("{path:?} is damaged: {message}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// A key of `config.json` that is absent, of the wrong type, or names something unsupported.
    #[error("config.json: {key} should be {expected}, got {got}")]
    Config {
        /// Path of the key, as in `text_config.hidden_size`.
        key: String,
        /// What would be accepted.
        expected: String,
        /// The value found.
        got: String,
    },
    /// Tensors that the model needs and the weights do not have.
    #[error("missing {} of {expected} tensors: {}", names.len(), listed(names))]
    MissingTensors {
        /// The absent names.
        names: Vec<String>,
        /// How many the model has.
        expected: usize,
    },
    /// Tensors that the weights have and the model does not know.
    #[error("{} unexpected tensors: {}", names.len(), listed(names))]
    UnexpectedTensors {
        /// The unknown names.
        names: Vec<String>,
    },
    /// A device that the program was not built for, or that the machine does not have.
    #[error("{key} = \"{device}\": {reason}")]
    Device {
        /// The key of the configuration that names it.
        key: &'static str,
        /// Its name.
        device: vrft_plan::Device,
        /// Why it cannot be used.
        reason: String,
    },
    /// A tensor of the wrong shape.
    #[error("tensor {name} should have shape {expected:?}, got {got:?}")]
    Shape {
        /// Name in the checkpoint.
        name: String,
        /// Shape that the configuration asks for.
        expected: Vec<usize>,
        /// Shape found.
        got: Vec<usize>,
    },
    /// A prompt, completion or call that does not fit the model.
    #[error("{what} should be {expected}, got {got}")]
    Input {
        /// Which input, by index where there are several.
        what: String,
        /// What would be accepted.
        expected: String,
        /// What came.
        got: String,
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
        source: vrft_vision::VisionError,
    },
    /// A video of a prompt that cannot be used.
    #[error("video {video_idx} of the prompt: {source}")]
    Video {
        /// Which video, from 0.
        video_idx: usize,
        /// What is wrong with it.
        source: vrft_vision::VisionError,
    },
    /// A model of the Hugging Face hub that is neither on this machine nor to be had.
    #[error(
        "there is no directory {model:?}, the model of that name is not in the cache {cache:?}, \
         {reason}; where there is a network, `hf download {model}` fills the cache; \
         or put the model's files (config.json, tokenizer.json, tokenizer_config.json, preprocessor_config.json, \
         chat_template.json, *.safetensors) into a directory and set policy.path to it"
    )]
    Hub {
        /// Owner and name.
        model: String,
        /// Where downloaded models are kept.
        cache: PathBuf,
        /// What the cache lacks, and why it stays so.
        reason: String,
    },
    /// The image settings of the checkpoint cannot be used.
    #[error(transparent)]
    Preprocessor(#[from] vrft_vision::VisionError),
    /// A tensor operation failed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

impl PolicyError {
    pub(crate) fn input(
        what: impl Into<String>,
        expected: impl ToString,
        got: impl ToString,
    ) -> Self {
        Self::Input { what: what.into(), expected: expected.to_string(), got: got.to_string() }
    }
}

/// The first few of many names: enough to see the pattern.
fn listed(names: &[String]) -> String {
    const SHOWN: usize = 4;
    let mut text = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text += ", …";
    }
    text
}
