//! The reference of candle's operations.

use candle_core::{Result, Tensor};

use super::Layer;
use crate::autograd::BackwardPass;
use crate::{Backend, Weight};

impl Layer {
    /// The outputs' part of the weight, (outputs, in), in the type to compute in.
    fn part_of_weight(&self, like: &Tensor) -> Result<Tensor> {
        match self.weight.nf4_value() {
            Some(matrix) => matrix.rows(Backend::Composed, self.outputs.clone(), like.dtype()),
            None => self.part(&self.weight.matrix()?, like),
        }
    }

    /// The outputs' part of a weight or bias, in the type to compute in.
    fn part(&self, of: &Tensor, like: &Tensor) -> Result<Tensor> {
        of.narrow(0, self.outputs.start, self.outputs.len())?.to_dtype(like.dtype())
    }
}

pub(super) fn forward(x: &Tensor, layer: &Layer) -> Result<Tensor> {
    let y = x.matmul(&layer.part_of_weight(x)?.t()?)?;
    match &layer.bias {
        Some(bias) => y.broadcast_add(&layer.part(bias.tensor()?, x)?),
        None => Ok(y),
    }
}

/// The gradient of x, which is g · W for the gradient g of the result.
pub(super) fn gradient_of_x(layer: &Layer, gradient: &Tensor) -> Result<Tensor> {
    gradient.matmul(&layer.part_of_weight(gradient)?)
}

/// gᵀ · x for the weight and the sum of the rows of g for the bias, where they are trained.
pub(super) fn add_gradients_of_weights(
    x: &Tensor,
    layer: &Layer,
    gradient: &Tensor,
    pass: &mut BackwardPass,
) -> Result<()> {
    if layer.weight.is_trainable() {
        let of_part = gradient.t()?.matmul(x)?; // (outputs, in)
        pass.add_to_weight(&layer.weight, &of_whole(&of_part, &layer.weight, layer)?)?;
    }
    if let Some(bias) = layer.bias.as_ref().filter(|bias| bias.is_trainable()) {
        pass.add_to_weight(bias, &of_whole(&gradient.sum(0)?, bias, layer)?)?;
    }
    Ok(())
}

/// The gradient of a whole weight from that of the layer's outputs: zeros elsewhere.
fn of_whole(of_part: &Tensor, weight: &Weight, layer: &Layer) -> Result<Tensor> {
    let behind = weight.n_rows() - layer.outputs.end;
    of_part.pad_with_zeros(0, layer.outputs.start, behind)?.reshape(weight.dims())
}
