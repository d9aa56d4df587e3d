//! The reference of candle's operations.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

use candle_core::{DType, Result, Tensor};

use super::{CUBIC, SLOPE, STEEPNESS};

pub(super) fn gelu_backward(x: &Tensor, gradient: &Tensor) -> Result<Tensor> {
    let x32 = x.to_dtype(DType::F32)?;
    let density = ((x32.sqr()? * -0.5)?.exp()? * (FRAC_1_SQRT_2 / PI.sqrt()))?;
    let distribution = (((&x32 * FRAC_1_SQRT_2)?.erf()? + 1.0)? * 0.5)?;
    let slope = (distribution + (x32 * density)?)?;
    (gradient.to_dtype(DType::F32)? * slope)?.to_dtype(x.dtype())
}

pub(super) fn gelu_tanh(x: &Tensor) -> Result<Tensor> {
    let x32 = x.to_dtype(DType::F32)?;
    (&x32 * sigmoid_of_cubic(&x32)?)?.to_dtype(x.dtype())
}

/// With s the sigmoid of the cubic c: s · (1 + x · c′ · (1 - s)).
pub(super) fn gelu_tanh_backward(x: &Tensor, gradient: &Tensor) -> Result<Tensor> {
    let x32 = x.to_dtype(DType::F32)?;
    let s = sigmoid_of_cubic(&x32)?;
    let steepness = (((x32.sqr()? * (3.0 * f64::from(CUBIC)))? + 1.0)? * f64::from(STEEPNESS))?;
    let rest = ((1.0 - &s)? * (x32 * steepness)?)?;
    let slope = (s * (rest + 1.0)?)?;
    (gradient.to_dtype(DType::F32)? * slope)?.to_dtype(x.dtype())
}

fn sigmoid_of_cubic(x: &Tensor) -> Result<Tensor> {
    let cubic = ((x.sqr()? * f64::from(CUBIC))? + 1.0)?;
    let cubic = ((x * cubic)? * f64::from(STEEPNESS))?;
    ((cubic.neg()?.exp()? + 1.0)?).recip()
}

pub(super) fn quick_gelu(x: &Tensor) -> Result<Tensor> {
    x * gate(x)?
}

/// With s the gate: s · (1 + 1.702 x · (1 - s)).
pub(super) fn quick_gelu_backward(x: &Tensor, gradient: &Tensor) -> Result<Tensor> {
    let x32 = x.to_dtype(DType::F32)?;
    let gate = gate(&x32)?;
    let rest = ((1.0 - &gate)? * (x32 * f64::from(SLOPE))?)?;
    let slope = (gate * (rest + 1.0)?)?;
    (gradient.to_dtype(DType::F32)? * slope)?.to_dtype(x.dtype())
}

fn gate(x: &Tensor) -> Result<Tensor> {
    (((x * f64::from(-SLOPE))?.exp()? + 1.0)?).recip()
}
