//! From a prompt as it travels to a prompt as the policy reads it: the same for who samples and who learns.

use vrft_messages::{Prompt, chat_messages};
use vrft_processor::{EncodedPrompt, Processor};

use crate::RolloutError;

/// Tokens and patches of a prompt.
///
/// # Errors
/// An image or a text that cannot be encoded, with the sample it belongs to.
pub fn encode(processor: &Processor, prompt: &Prompt) -> Result<EncodedPrompt, RolloutError> {
    let images: Vec<&[u8]> = prompt.images.iter().map(|image| image.bytes.as_slice()).collect();
    let messages = chat_messages(&prompt.turns);
    let encoded = processor.encode_messages(&messages, &images, &[], true);
    encoded.map_err(|source| RolloutError::Prompt {
        sample_id: prompt.sample_id.clone(),
        prompt_id: prompt.prompt_id,
        source: Box::new(source),
    })
}
