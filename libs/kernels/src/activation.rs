//! The activations of the vision tower.

use std::f64::consts::PI;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use crate::buffer::{self, dims2, for_rows, output, unset, values, with_values};
use crate::exp::sigmoid;
use crate::tape;

/// 1.702, the slope with which a sigmoid resembles the normal distribution's.
const SLOPE: f32 = 1.702;

/// `x · sigmoid(1.702 x)`, x (N, D): the MLP of the vision blocks.
///
/// # Errors
/// What candle says.
pub fn quick_gelu(x: &Tensor) -> Result<Tensor> {
    if !buffer::fused(&[x]) {
        return tape::composed(&[x], |t| composed(&t[0]));
    }
    tape::apply1(&x.contiguous()?, QuickGelu)
}

/// `x · Φ(x)` with the exact normal distribution: the patch merger, whose rows are few.
///
/// # Errors
/// What candle says.
pub fn gelu(x: &Tensor) -> Result<Tensor> {
    if !(tape::is_recording() && buffer::fused(&[x])) {
        return tape::composed(&[x], |t| t[0].gelu_erf());
    }
    let y = x.detach().gelu_erf()?;
    let from = x.clone();
    tape::note(&[x], &y, move |grad, adjoints| {
        let slope = |x: f32| {
            let x = f64::from(x);
            let density = (-0.5 * x * x).exp() * std::f64::consts::FRAC_1_SQRT_2 / PI.sqrt();
            0.5 * (1.0 + libm::erf(x * std::f64::consts::FRAC_1_SQRT_2)) + x * density
        };
        let width = from.dims().last().copied().unwrap_or(1);
        let values = with_values([&from, grad], |[xs, gs]| {
            let mut out = unset(xs.len());
            for_rows(
                &mut out,
                width,
                #[inline(always)]
                |i, out| {
                    for ((out, x), g) in out.iter_mut().zip(&xs[i * width..]).zip(&gs[i * width..])
                    {
                        *out = g * slope(*x) as f32;
                    }
                },
            );
            Ok(out)
        })?;
        adjoints.add(&from, Some(buffer::like(values, &from)?))
    })?;
    Ok(y)
}

fn composed(x: &Tensor) -> Result<Tensor> {
    let gate = (((x * f64::from(-SLOPE))?.exp()? + 1.0)?).recip()?;
    x * gate
}

struct QuickGelu;

impl CustomOp1 for QuickGelu {
    fn name(&self) -> &'static str {
        "quick_gelu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (n, width) = dims2(layout)?;
        let dtype = candle_core::backend::BackendStorage::dtype(x);
        let x = values(x, layout)?;
        let mut y = unset(n * width);
        for_rows(
            &mut y,
            width,
            #[inline(always)]
            |i, y| {
                for (y, x) in y.iter_mut().zip(&x[i * width..]) {
                    *y = x * sigmoid(SLOPE * x);
                }
            },
        );
        Ok(output(y, (n, width), dtype))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let (n, width) = x.dims2()?;
        with_values([x, &grad.contiguous()?], |[xs, gs]| {
            let mut out = unset(n * width);
            for_rows(
                &mut out,
                width,
                #[inline(always)]
                |i, out| {
                    for ((out, x), g) in out.iter_mut().zip(&xs[i * width..]).zip(&gs[i * width..])
                    {
                        let s = sigmoid(SLOPE * x);
                        *out = g * s * (1.0 + SLOPE * x * (1.0 - s));
                    }
                },
            );
            Ok(Some(buffer::like(out, x)?))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check, random};

    #[test]
    fn quick_gelu_agrees_with_candle_and_with_differences() {
        check(&[random((30, 21), 0)], |t| quick_gelu(&t[0]), |t| composed(&t[0]));
    }

    #[test]
    fn gelu_agrees_with_candle_and_with_differences() {
        check(&[random((30, 21), 0)], |t| gelu(&t[0]), |t| t[0].gelu_erf());
    }
}
