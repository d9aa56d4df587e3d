//! Angles of the rotary embeddings: by up to three axes for text, by row and column for patches.

use candle_core::{Device, Tensor};
use vrft_kernels::{Activation, Context};

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
        let frequencies = frequencies(config.rope_theta, config.head_dim);
        let angles = positions.iter().flat_map(|position| {
            frequencies.iter().zip(&config.rotary_axes).map(|(f, axis)| position[*axis] as f32 * f)
        });
        Self::new(angles.collect(), positions.len(), device)
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
            for [row, column] in patch_positions(grid, merge_size) {
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

/// Row and column of each patch, in the order in which patches come: merge block after merge block.
fn patch_positions(grid: &vrft_vision::Grid, merge_size: usize) -> Vec<[usize; 2]> {
    let mut positions = Vec::with_capacity(grid.n_patches());
    for _ in 0..grid.t {
        for block_row in 0..grid.h / merge_size {
            for block_column in 0..grid.w / merge_size {
                for i in 0..merge_size * merge_size {
                    positions.push([
                        block_row * merge_size + i / merge_size,
                        block_column * merge_size + i % merge_size,
                    ]);
                }
            }
        }
    }
    positions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches_come_in_merge_blocks() {
        let grid = vrft_vision::Grid { t: 1, h: 2, w: 4 };
        let expected = [[0, 0], [0, 1], [1, 0], [1, 1], [0, 2], [0, 3], [1, 2], [1, 3]];
        assert_eq!(patch_positions(&grid, 2), expected);
    }
}
