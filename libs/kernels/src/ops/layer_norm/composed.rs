//! The reference of candle's operations, with the statistics in f32.

use candle_core::{D, DType, Result, Tensor};

pub(super) fn forward(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    let (normalized, _) = normalized(&x.to_dtype(DType::F32)?, eps)?;
    let weight = weight.to_dtype(x.dtype())?;
    let bias = bias.to_dtype(x.dtype())?;
    normalized.to_dtype(x.dtype())?.broadcast_mul(&weight)?.broadcast_add(&bias)
}

/// Gradients of x, weight and bias.
pub(super) fn backward(
    x: &Tensor,
    weight: &Tensor,
    gradient: &Tensor,
    eps: f64,
) -> Result<[Tensor; 3]> {
    let (normalized, scale) = normalized(&x.to_dtype(DType::F32)?, eps)?;
    let gradient = gradient.to_dtype(DType::F32)?; // (N, D)
    let of_normalized = gradient.broadcast_mul(&weight.to_dtype(DType::F32)?)?;
    let shift = of_normalized.mean_keepdim(D::Minus1)?; // (N, 1)
    let pull = (&of_normalized * &normalized)?.mean_keepdim(D::Minus1)?; // (N, 1)
    let centered = of_normalized.broadcast_sub(&shift)?;
    let of_x = (centered - normalized.broadcast_mul(&pull)?)?.broadcast_mul(&scale)?;
    let of_weight = (&gradient * normalized)?.sum(0)?;
    Ok([of_x.to_dtype(x.dtype())?, of_weight, gradient.sum(0)?])
}

/// (x - mean) / deviation, (N, D), and 1 / deviation, (N, 1).
fn normalized(x: &Tensor, eps: f64) -> Result<(Tensor, Tensor)> {
    let centered = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let deviation = (centered.sqr()?.mean_keepdim(D::Minus1)? + eps)?.sqrt()?;
    Ok((centered.broadcast_div(&deviation)?, deviation.recip()?))
}
