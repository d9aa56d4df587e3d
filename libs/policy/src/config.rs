//! Widths, depths and special tokens of the model, from `config.json`.

/// Shape of the whole model.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// The language model.
    pub text: TextConfig,
    /// The vision tower.
    pub vision: VisionConfig,
    /// Token that stands for one merged patch of an image.
    pub image_token_id: u32,
    /// Token that stands for one merged patch of a video.
    pub video_token_id: u32,
    /// Token before an image.
    pub vision_start_token_id: u32,
    /// Token after an image.
    pub vision_end_token_id: u32,
}

/// Shape of the language model.
#[derive(Debug, Clone, PartialEq)]
pub struct TextConfig {
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width inside the gated MLP.
    pub intermediate_size: usize,
    /// Decoder layers.
    pub n_layers: usize,
    /// Query heads.
    pub n_heads: usize,
    /// Key and value heads; divides `n_heads`.
    pub n_kv_heads: usize,
    /// Tokens in the vocabulary, rows of the embedding.
    pub vocab_size: usize,
    /// Added to the variance in RMSNorm.
    pub rms_norm_eps: f64,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// How many rotary frequencies follow time, height and width.
    pub mrope_section: [usize; 3],
    /// Whether the embedding is also the output head.
    pub tie_word_embeddings: bool,
    /// Longest sequence that the model was made for.
    pub max_position_embeddings: usize,
}

/// Shape of the vision tower.
#[derive(Debug, Clone, PartialEq)]
pub struct VisionConfig {
    /// Width of the tower's residual stream.
    pub embed_dim: usize,
    /// Blocks.
    pub depth: usize,
    /// Attention heads.
    pub n_heads: usize,
    /// Width inside the MLP.
    pub mlp_dim: usize,
    /// Width of the merged output: the language model's `hidden_size`.
    pub out_dim: usize,
    /// Color channels.
    pub in_channels: usize,
    /// Side of a patch in pixels.
    pub patch_size: usize,
    /// Frames per patch; a still image is repeated.
    pub temporal_patch_size: usize,
    /// `merge_size`² patches become one token.
    pub merge_size: usize,
}
