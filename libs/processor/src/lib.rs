//! Between people and models: conversations and pictures to token ids, positions and pixel patches, and token ids back
//! to text.
//!
//! [`Processor`] does what Hugging Face's processors do, to the last bit: it fills the checkpoint's chat template,
//! scales and cuts the pictures, puts as many placeholder tokens into the text as a picture has tokens, and says which
//! position each token has. What is special to one model family in this is in `families`. No weights are read and no
//! tensor library is linked, so a program that only reads data can count tokens with it.

mod conversation;
mod error;
mod families;
mod generation;
mod processor;
mod prompt;
mod spelled;
mod template;
mod tokenizer;

pub use conversation::Conversation;
pub use error::ProcessorError;
pub use families::{Coordinates, ItemKeys, preprocessor, supported_families};
pub use generation::GenerationSettings;
pub use processor::Processor;
pub use prompt::{EncodedPrompt, Insertion};
