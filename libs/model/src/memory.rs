//! How much memory the model's parts take, from its configuration alone.

use candle_core::DType;

use crate::model::Model;
use crate::scope::Names;
use crate::{ModelConfig, PolicyError, TextConfig, VisionConfig};

impl ModelConfig {
    /// Values of all weights, and those of the vision tower among them.
    ///
    /// # Errors
    /// A configuration that no model can be made of.
    pub fn n_values(&self) -> Result<(usize, usize), PolicyError> {
        let names = Names::published();
        let mut counts = (0, 0);
        for (name, shape) in Model::shapes(self)? {
            let n: usize = shape.iter().product();
            counts.0 += n;
            counts.1 += if names.is_visual(&name) { n } else { 0 };
        }
        Ok(counts)
    }

    /// Bytes that a forward of so many tokens and patches keeps for its way back, if every layer keeps all.
    pub fn activation_bytes(&self, n_tokens: usize, n_patches: usize, dtype: DType) -> usize {
        self.text.n_layers * self.text.activation_bytes(n_tokens, dtype)
            + self.vision.activation_bytes(n_patches, dtype)
    }
}

impl TextConfig {
    /// Bytes that one layer keeps for its way back.
    pub fn activation_bytes(&self, n_tokens: usize, dtype: DType) -> usize {
        // Two norms, q twice, attention, two branches, two sums; k twice and v; gate, up and their product.
        let kv_width = self.n_kv_heads * self.head_dim();
        let values = 9 * self.hidden_size + 3 * kv_width + 3 * self.intermediate_size;
        n_tokens * values * dtype.size_in_bytes()
    }

    /// Bytes of keys and values of so many tokens.
    pub fn cache_bytes(&self, n_tokens: usize, dtype: DType) -> usize {
        2 * self.n_layers * n_tokens * self.n_kv_heads * self.head_dim() * dtype.size_in_bytes()
    }
}

impl VisionConfig {
    /// Bytes that the tower keeps for its way back, pixels included.
    pub fn activation_bytes(&self, n_patches: usize, dtype: DType) -> usize {
        let values = self.patch_dim() + 6 * self.embed_dim;
        let of_ends = n_patches * values * dtype.size_in_bytes();
        self.depth * self.block_activation_bytes(n_patches, dtype) + of_ends
    }

    /// Bytes that one block of the tower keeps for its way back.
    pub fn block_activation_bytes(&self, n_patches: usize, dtype: DType) -> usize {
        n_patches * (11 * self.embed_dim + 2 * self.mlp_dim) * dtype.size_in_bytes()
    }
}
