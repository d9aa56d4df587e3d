//! Boxes as prompts, and the places of the picture's patches, in the decoder's width.

use candle_core::{D, Device, Result, Tensor};
use candle_nn::VarBuilder;

/// Embeddings of places and corners.
pub(crate) struct Prompter {
    /// Random frequencies: 2, width / 2.
    frequencies: Tensor,
    /// What tells a box's two corners from other points: 2, width.
    corners: Tensor,
    /// What stands for no mask given: 1, width, 1, 1.
    no_mask: Tensor,
    /// Side of the padded picture in pixels.
    side: usize,
    /// Patches on a side.
    grid: usize,
}

/// Embeddings of the first two numbers are those of foreground and background points.
const FIRST_CORNER: usize = 2;

impl Prompter {
    /// For a model with this width, side and grid.
    ///
    /// # Errors
    /// Tensors that are absent or of another shape.
    pub(crate) fn load(
        weights: &VarBuilder,
        width: usize,
        side: usize,
        grid: usize,
    ) -> Result<Self> {
        let points = weights.pp("point_embeddings");
        let corner = |number: usize| points.pp(number).get((1, width), "weight");
        Ok(Self {
            frequencies: weights
                .pp("pe_layer")
                .get((2, width / 2), "positional_encoding_gaussian_matrix")?,
            corners: Tensor::cat(&[corner(FIRST_CORNER)?, corner(FIRST_CORNER + 1)?], 0)?,
            no_mask: weights
                .pp("no_mask_embed")
                .get((1, width), "weight")?
                .reshape((1, width, 1, 1))?,
            side,
            grid,
        })
    }

    /// What is added to the picture's features where no mask is given: 1, width, 1, 1.
    pub(crate) fn no_mask(&self) -> &Tensor {
        &self.no_mask
    }

    /// The places of all patches: 1, width, grid, grid.
    ///
    /// # Errors
    /// Memory that is not there.
    pub(crate) fn patches(&self) -> Result<Tensor> {
        let at = |n: usize| (n as f64 + 0.5) / self.grid as f64;
        let rows = 0..self.grid;
        let places = rows.flat_map(|y| (0..self.grid).map(move |x| [at(x), at(y)]));
        let embedded = self.embed(places)?; // (grid * grid, width)
        let width = embedded.dim(D::Minus1)?;
        embedded.t()?.reshape((1, width, self.grid, self.grid))
    }

    /// Boxes in pixels of the padded picture: boxes, 2, width.
    ///
    /// # Errors
    /// Memory that is not there.
    pub(crate) fn boxes(&self, boxes: &[[f64; 4]]) -> Result<Tensor> {
        // Half a pixel on: the centers of pixels are meant.
        let at = |value: f64| (value + 0.5) / self.side as f64;
        let corners =
            boxes.iter().flat_map(|&[x1, y1, x2, y2]| [[at(x1), at(y1)], [at(x2), at(y2)]]);
        let embedded = self.embed(corners)?;
        let width = embedded.dim(D::Minus1)?;
        embedded.reshape((boxes.len(), 2, width))?.broadcast_add(&self.corners)
    }

    /// Sines and cosines of places in [0, 1]²: places, width.
    fn embed(&self, places: impl Iterator<Item = [f64; 2]>) -> Result<Tensor> {
        let flat: Vec<f32> = places.flatten().map(|value| (2.0 * value - 1.0) as f32).collect();
        let n = flat.len() / 2;
        let turns = Tensor::from_vec(flat, (n, 2), &Device::Cpu)?.matmul(&self.frequencies)?;
        let angles = (turns * (2.0 * std::f64::consts::PI))?;
        Tensor::cat(&[angles.sin()?, angles.cos()?], D::Minus1)
    }
}
