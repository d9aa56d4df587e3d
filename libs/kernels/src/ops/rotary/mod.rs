//! Rotary position embedding ([arXiv 2104.09864](https://arxiv.org/abs/2104.09864)), half-split convention.

mod composed;
mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

use candle_core::{Result, Tensor, bail};

use crate::{Activation, Backend, Context};

/// Rotates every head of every row: x (N, heads · head_dim), cos and sin (N, head_dim / 2), f32.
///
/// Value `i` of a head pairs with value `i + head_dim / 2`. The tables get no gradient.
///
/// # Errors
/// Shapes that do not fit.
pub fn rotary(context: &Context, x: &Activation, cos: &Tensor, sin: &Tensor) -> Result<Activation> {
    let (n, width) = x.dims2()?;
    let (rows, half) = cos.dims2()?;
    let fits = rows == n && half > 0 && width.is_multiple_of(2 * half);
    if !fits || sin.dims2()? != (rows, half) {
        let sin = sin.dims();
        bail!("rotary: tables are ({rows}, {half}) and {sin:?}, x is ({n}, {width})")
    }
    let cos = cos.contiguous()?;
    let sin = sin.contiguous()?;
    let backend = context.backend();
    let y = rotated(backend, x.tensor(), &cos, &sin, Direction::Forward)?;
    let to = x.node();
    context.record_one(&[x], &[], y, move |gradient, pass| {
        // The inverse of a rotation is its transpose, which is also how its gradient flows.
        pass.add(to, rotated(backend, &gradient, &cos, &sin, Direction::Back)?)
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Forward,
    Back,
}

fn rotated(
    backend: Backend,
    x: &Tensor,
    cos: &Tensor,
    sin: &Tensor,
    direction: Direction,
) -> Result<Tensor> {
    match backend {
        Backend::Cpu => cpu::rotated(x, cos, sin, direction),
        #[cfg(feature = "cuda")]
        Backend::Cuda => cuda::rotated(x, cos, sin, direction),
        _ => composed::rotated(x, cos, sin, direction),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check, random};

    #[test]
    fn agrees_with_candle_and_with_differences() {
        let angle = random((11, 4), 7);
        let cos = angle.cos().unwrap();
        let sin = angle.sin().unwrap();
        check(
            &[random((11, 24), 0)],
            &[],
            |context, x, _| rotary(context, &x[0], &cos, &sin),
            |t| composed::rotated(&t[0], &cos, &sin, Direction::Forward),
        );
    }

    #[test]
    fn tables_that_do_not_fit_are_an_error() {
        let context = Context::new(&candle_core::Device::Cpu);
        let x = Activation::untracked(random((3, 8), 0));
        let table = random((2, 2), 1);
        assert!(rotary(&context, &x, &table, &table).is_err());
    }
}
