//! Fused, in main memory.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

use candle_core::{Result, Tensor};

use super::{CUBIC, SLOPE, STEEPNESS};
use crate::cpu::exp::sigmoid;
use crate::cpu::{like, make_rows, with_values};

pub(super) fn gelu_backward(x: &Tensor, gradient: &Tensor) -> Result<Tensor> {
    let slope = |x: f32| {
        let x = f64::from(x);
        let density = (-0.5 * x * x).exp() * FRAC_1_SQRT_2 / PI.sqrt();
        0.5 * (1.0 + libm::erf(x * FRAC_1_SQRT_2)) + x * density
    };
    times_slope(
        x,
        gradient,
        #[inline(always)]
        |x, g| g * slope(x) as f32,
    )
}

pub(super) fn gelu_tanh(x: &Tensor) -> Result<Tensor> {
    let (n, width) = x.dims2()?;
    let values = with_values([x], |[x]| {
        Ok(make_rows(
            n,
            width,
            #[inline(always)]
            |i, y| y.write(x[i * width..][..width].iter().map(|x| x * sigmoid(cubic(*x)))),
        ))
    })?;
    like(values, x)
}

/// With s the sigmoid of the cubic c: s · (1 + x · c′ · (1 - s)).
pub(super) fn gelu_tanh_backward(x: &Tensor, gradient: &Tensor) -> Result<Tensor> {
    times_slope(
        x,
        gradient,
        #[inline(always)]
        |x, g| {
            let s = sigmoid(cubic(x));
            let steepness = STEEPNESS * (1.0 + 3.0 * CUBIC * x * x);
            g * s * (1.0 + x * steepness * (1.0 - s))
        },
    )
}

#[inline(always)]
fn cubic(x: f32) -> f32 {
    STEEPNESS * (x + CUBIC * x * x * x)
}

pub(super) fn quick_gelu(x: &Tensor) -> Result<Tensor> {
    let (n, width) = x.dims2()?;
    let values = with_values([x], |[x]| {
        Ok(make_rows(
            n,
            width,
            #[inline(always)]
            |i, y| y.write(x[i * width..][..width].iter().map(|x| x * sigmoid(SLOPE * x))),
        ))
    })?;
    like(values, x)
}

pub(super) fn quick_gelu_backward(x: &Tensor, gradient: &Tensor) -> Result<Tensor> {
    times_slope(
        x,
        gradient,
        #[inline(always)]
        |x, g| {
            let s = sigmoid(SLOPE * x);
            g * s * (1.0 + SLOPE * x * (1.0 - s))
        },
    )
}

/// `f(x, gradient)` of each value.
#[inline(always)]
fn times_slope(
    x: &Tensor,
    gradient: &Tensor,
    f: impl Fn(f32, f32) -> f32 + Sync,
) -> Result<Tensor> {
    let (n, width) = x.dims2()?;
    let values = with_values([x, gradient], |[xs, gs]| {
        Ok(make_rows(
            n,
            width,
            #[inline(always)]
            |i, out| {
                let row = i * width..(i + 1) * width;
                out.write(xs[row.clone()].iter().zip(&gs[row]).map(
                    #[inline(always)]
                    |(x, g)| f(*x, *g),
                ))
            },
        ))
    })?;
    like(values, x)
}
