//! From a prompt as it travels to a prompt as the policy reads it: the same for who samples and who learns.

use vrft_messages::{EncodedImage, ImageSize, Prompt, chat_messages};
use vrft_processor::{EncodedPrompt, Processor, ProcessorError};

use crate::RolloutError;

/// Tokens and patches of a prompt.
///
/// # Errors
/// An image or a text that cannot be encoded, with the sample it belongs to.
pub fn encode(processor: &Processor, prompt: &Prompt) -> Result<EncodedPrompt, RolloutError> {
    let images: Vec<&[u8]> = prompt.images.iter().map(|image| image.bytes.as_slice()).collect();
    let messages = chat_messages(&prompt.turns);
    let encoded = processor.encode_messages(&messages, &images, &[], true);
    encoded.map_err(|source| of_prompt(prompt, source))
}

/// The sizes of a prompt's pictures: as they are, and as the model sees them.
///
/// # Errors
/// A size that the model cannot take, with the sample it belongs to.
pub fn image_sizes(processor: &Processor, prompt: &Prompt) -> Result<Vec<ImageSize>, RolloutError> {
    let size = |(image_idx, image): (usize, &EncodedImage)| {
        let (width, height) = (image.width, image.height);
        let resized = processor.preprocessor().resized(height as usize, width as usize);
        let failed = |source| of_prompt(prompt, ProcessorError::Image { image_idx, source });
        let (resized_height, resized_width) = resized.map_err(failed)?;
        let (resized_width, resized_height) = (resized_width as u32, resized_height as u32);
        Ok(ImageSize { width, height, resized_width, resized_height })
    };
    prompt.images.iter().enumerate().map(size).collect()
}

fn of_prompt(prompt: &Prompt, source: ProcessorError) -> RolloutError {
    RolloutError::Prompt {
        sample_id: prompt.sample_id.clone(),
        prompt_id: prompt.prompt_id,
        source: Box::new(source),
    }
}
