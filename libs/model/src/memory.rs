//! How much memory the model's parts take, from its configuration alone.

use candle_core::DType;

use crate::model::Model;
use crate::quantized::is_meant;
use crate::{ModelConfig, ModelError, TextConfig};

impl ModelConfig {
    /// Values of all weights, and those of the vision tower among them.
    ///
    /// # Errors
    /// A configuration that no model can be made of.
    pub fn n_values(&self) -> Result<(usize, usize), ModelError> {
        let names = self.family.layouts().published();
        let mut counts = (0, 0);
        for (name, shape) in Model::shapes(self)? {
            let n: usize = shape.iter().product();
            counts.0 += n;
            counts.1 += if names.is_visual(&name) { n } else { 0 };
        }
        Ok(counts)
    }

    /// Values of the linear layers of the language model, which may be kept in 4 bits, and those of the largest of them.
    ///
    /// # Errors
    /// A configuration that no model can be made of.
    pub fn n_linear_values(&self) -> Result<(usize, usize), ModelError> {
        let names = self.family.layouts().published();
        let mut counts = (0, 0);
        for (name, shape) in Model::shapes(self)? {
            if is_meant(&name, &shape, names) {
                let n: usize = shape.iter().product();
                counts = (counts.0 + n, counts.1.max(n));
            }
        }
        Ok(counts)
    }

    /// Bytes that a forward pass of `n_tokens` and `n_patches` keeps for its backward pass, if every layer keeps all.
    pub fn activation_bytes(&self, n_tokens: usize, n_patches: usize, dtype: DType) -> usize {
        self.text.n_layers * self.text.activation_bytes(n_tokens, dtype)
            + self.tower.depth() * self.tower.block_activation_bytes(n_patches, dtype)
            + self.tower.end_activation_bytes(n_patches, dtype)
    }

    /// The same if every layer keeps its input alone: then one is computed again at a time.
    pub fn least_activation_bytes(&self, n_tokens: usize, n_patches: usize, dtype: DType) -> usize {
        let of_text = self.text.n_layers * n_tokens * self.text.hidden_size;
        let of_tower = self.tower.depth() * n_patches * self.tower.width();
        let of_layer = self.text.activation_bytes(n_tokens, dtype);
        let of_block = self.tower.block_activation_bytes(n_patches, dtype);
        of_layer.max(of_block) + (of_text + of_tower) * dtype.size_in_bytes()
    }
}

impl TextConfig {
    /// Bytes that one layer keeps for its backward pass.
    pub fn activation_bytes(&self, n_tokens: usize, dtype: DType) -> usize {
        // Two norms, two branches, two sums; q twice and attention; k twice and v; gate, up and their product.
        let of_heads = 3 * (self.q_width() + self.kv_width());
        let values = 6 * self.hidden_size + of_heads + 3 * self.intermediate_size;
        n_tokens * values * dtype.size_in_bytes()
    }

    /// Bytes that the keys and values of a number of tokens take.
    pub fn cache_bytes(&self, n_tokens: usize, dtype: DType) -> usize {
        2 * self.n_layers * n_tokens * self.kv_width() * dtype.size_in_bytes()
    }
}
