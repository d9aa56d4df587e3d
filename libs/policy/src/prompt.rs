//! One question as the model reads it: token ids, positions and pixel patches.

/// One question, ready for the model.
#[derive(Debug, Clone, PartialEq)]
pub struct EncodedPrompt {
    /// Token ids, each image placeholder already expanded to one token per merged patch.
    pub token_ids: Vec<u32>,
    /// M-RoPE position (time, height, width) of each token.
    pub positions: Vec<[u32; 3]>,
    /// The images, in the order of their placeholders.
    pub images: Vec<vision::Patches>,
}
