//! The reference of candle's operations.

use candle_core::{DType, Result, Tensor};

pub(super) fn forward(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    gate.silu()? * up
}

/// Gradients of gate and up. With s = sigmoid(gate), the slope of silu is s · (1 + gate · (1 - s)).
pub(super) fn backward(gate: &Tensor, up: &Tensor, gradient: &Tensor) -> Result<[Tensor; 2]> {
    let [g, u, d] = [gate, up, gradient].map(|t| t.to_dtype(DType::F32));
    let g = g?;
    let u = u?;
    let d = d?;
    let s = (g.neg()?.exp()? + 1.0)?.recip()?;
    let slope = (&s * (((1.0 - &s)? * &g)? + 1.0)?)?;
    let of_gate = ((&d * u)? * slope)?.to_dtype(gate.dtype())?;
    let of_up = ((d * g)? * s)?.to_dtype(up.dtype())?;
    Ok([of_gate, of_up])
}
