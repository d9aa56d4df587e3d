//! Angles of the rotary embeddings: by up to three axes for text, by row and column for patches.

use candle_core::{Device, Tensor};
use vrft_kernels::{Activation, Context};

use crate::tower::block_order;
use crate::{ModelError, TextConfig};

/// Cosine and sine of every row's angles, each (N, head_dim / 2) f32.
#[derive(Debug, Clone)]
pub(crate) struct Rotary {
    cos: Tensor,
    sin: Tensor,
}

impl Rotary {
    /// Each frequency of a head follows the axis of the positions that the configuration says.
    pub(crate) fn text(
        config: &TextConfig,
        positions: &[[u32; 3]],
        device: &Device,
    ) -> Result<Self, ModelError> {
        let frequencies = Self::frequencies(config);
        let angles = positions.iter().flat_map(|position| {
            frequencies.iter().zip(&config.rotary_axes).map(|(f, axis)| position[*axis] as f32 * f)
        });
        Self::new(angles.collect(), positions.len(), device)
    }

    /// The frequencies of a text's heads, head_dim / 2.
    pub(crate) fn frequencies(config: &TextConfig) -> Vec<f32> {
        let mut frequencies = frequencies(config.rope_theta, config.head_dim);
        if let Some(stretch) = &config.rope_stretch {
            frequencies.iter_mut().for_each(|frequency| *frequency = stretch.apply(*frequency));
        }
        frequencies
    }

    /// The first half of a head's frequencies follows the patch's row, the second its column.
    pub(crate) fn patches(
        rope_theta: f64,
        head_dim: usize,
        merge_size: usize,
        grids: &[vrft_vision::Grid],
        device: &Device,
    ) -> Result<Self, ModelError> {
        let frequencies = frequencies(rope_theta, head_dim / 2);
        let mut angles = Vec::new();
        let mut n_patches = 0;
        for grid in grids {
            n_patches += grid.n_patches();
            for [row, column] in block_order(grid, merge_size) {
                angles.extend(frequencies.iter().map(|f| row as f32 * f));
                angles.extend(frequencies.iter().map(|f| column as f32 * f));
            }
        }
        Self::new(angles, n_patches, device)
    }

    fn new(angles: Vec<f32>, n: usize, device: &Device) -> Result<Self, ModelError> {
        let width = angles.len() / n.max(1);
        let table = |f: fn(f32) -> f32| {
            Tensor::from_vec(angles.iter().map(|a| f(*a)).collect(), (n, width), device)
        };
        Ok(Self { cos: table(f32::cos)?, sin: table(f32::sin)? })
    }

    /// The angles of these rows.
    pub(crate) fn select(&self, rows: &Tensor) -> Result<Self, ModelError> {
        Ok(Self { cos: self.cos.index_select(rows, 0)?, sin: self.sin.index_select(rows, 0)? })
    }

    /// Rotates the heads of x (N, heads · head_dim).
    pub(crate) fn apply(
        &self,
        context: &Context,
        x: &Activation,
    ) -> Result<Activation, ModelError> {
        Ok(vrft_kernels::rotary(context, x, &self.cos, &self.sin)?)
    }
}

/// theta^(-2i / dim) for i below dim / 2.
fn frequencies(theta: f64, dim: usize) -> Vec<f32> {
    let exponents = (0..dim / 2).map(|i| (2 * i) as f32 / dim as f32);
    exponents.map(|exponent| 1.0 / (theta as f32).powf(exponent)).collect()
}
