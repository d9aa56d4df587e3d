//! The reference of candle's operations, with the statistics in f32.

use candle_core::{D, DType, Result, Tensor};

pub(super) fn forward(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    let x32 = x.to_dtype(DType::F32)?;
    let rms = (x32.sqr()?.mean_keepdim(D::Minus1)? + eps)?.sqrt()?; // (N, 1)
    x32.broadcast_div(&rms)?.to_dtype(x.dtype())?.broadcast_mul(&weight.to_dtype(x.dtype())?)
}

/// Gradients of x and weight.
pub(super) fn backward(
    x: &Tensor,
    weight: &Tensor,
    gradient: &Tensor,
    eps: f64,
) -> Result<[Tensor; 2]> {
    let x32 = x.to_dtype(DType::F32)?;
    let scale = (x32.sqr()?.mean_keepdim(D::Minus1)? + eps)?.sqrt()?.recip()?; // (N, 1)
    let normalized = x32.broadcast_mul(&scale)?; // (N, D)
    let gradient = gradient.to_dtype(DType::F32)?;
    let of_normalized = gradient.broadcast_mul(&weight.to_dtype(DType::F32)?)?;
    let pull = (&of_normalized * &normalized)?.mean_keepdim(D::Minus1)?; // (N, 1)
    let of_x = (of_normalized - normalized.broadcast_mul(&pull)?)?.broadcast_mul(&scale)?;
    Ok([of_x.to_dtype(x.dtype())?, (gradient * normalized)?.sum(0)?])
}
