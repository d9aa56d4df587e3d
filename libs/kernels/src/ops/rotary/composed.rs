//! The reference of candle's operations.

use candle_core::{D, Result, Tensor};

use super::Direction;

pub(super) fn rotated(
    x: &Tensor,
    cos: &Tensor,
    sin: &Tensor,
    direction: Direction,
) -> Result<Tensor> {
    let (n, width) = x.dims2()?;
    let (_, half) = cos.dims2()?;
    let dtype = x.dtype();
    let x = x.to_dtype(cos.dtype())?.reshape((n, width / (2 * half), 2 * half))?; // (N, heads, head_dim)
    let a = x.narrow(D::Minus1, 0, half)?;
    let b = x.narrow(D::Minus1, half, half)?;
    let cos = cos.unsqueeze(1)?;
    let sin = sin.unsqueeze(1)?; // (N, 1, head_dim / 2)
    let sin = if direction == Direction::Back { sin.neg()? } else { sin };
    let rotated_a = (a.broadcast_mul(&cos)? - b.broadcast_mul(&sin)?)?;
    let rotated_b = (b.broadcast_mul(&cos)? + a.broadcast_mul(&sin)?)?;
    Tensor::cat(&[rotated_a, rotated_b], D::Minus1)?.reshape((n, width))?.to_dtype(dtype)
}
