//! Products with a number that nothing trains.

#[cfg(feature = "cuda")]
mod cuda;

use candle_core::{Result, Tensor};

use crate::cpu::{like, make_rows, with_values};
use crate::{Activation, Backend, Context};

/// `factor · x`, x (N, D).
///
/// # Errors
/// Fails if x is no matrix.
pub fn scale(context: &Context, x: &Activation, factor: f64) -> Result<Activation> {
    x.dims2()?;
    let backend = context.backend();
    let y = scaled(backend, x.tensor(), factor)?;
    let to = x.node();
    context.record_one(&[x], &[], y, move |gradient, pass| {
        pass.add(to, scaled(backend, &gradient, factor)?)
    })
}

fn scaled(backend: Backend, x: &Tensor, factor: f64) -> Result<Tensor> {
    match backend {
        Backend::Cpu => scaled_on_cpu(x, factor as f32),
        #[cfg(feature = "cuda")]
        Backend::Cuda => cuda::scaled(x, factor),
        _ => x * factor,
    }
}

fn scaled_on_cpu(x: &Tensor, factor: f32) -> Result<Tensor> {
    let (n, width) = x.dims2()?;
    let values = with_values([x], |[x]| {
        Ok(make_rows(
            n,
            width,
            #[inline(always)]
            |i, y| y.write(x[i * width..][..width].iter().map(|x| factor * x)),
        ))
    })?;
    like(values, x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check, random};

    #[test]
    fn agrees_with_candle_and_with_differences() {
        let of = |context: &Context, x: &[Activation]| scale(context, &x[0], 0.3);
        check(&[random((30, 21), 0)], &[], |context, x, _| of(context, x), |t| &t[0] * 0.3);
    }
}
