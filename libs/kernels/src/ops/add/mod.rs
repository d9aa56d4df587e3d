//! Sums of two activations.

#[cfg(feature = "cuda")]
mod cuda;

use candle_core::{Result, bail};

use crate::{Activation, Backend, Context, cpu};

#[cfg(feature = "cuda")]
pub(crate) use self::cuda::add_in_place;

/// `a + b`, both of the same shape and type: a residual connection. The gradient of each is that of the sum.
///
/// # Errors
/// Shapes or types that differ.
pub fn add(context: &Context, a: &Activation, b: &Activation) -> Result<Activation> {
    if (a.dims(), a.dtype()) != (b.dims(), b.dtype()) {
        let a = (a.dims(), a.dtype());
        let b = (b.dims(), b.dtype());
        bail!("add: {a:?} and {b:?} differ in shape or type")
    }
    let y = match context.backend() {
        Backend::Cpu => cpu::add(a.tensor(), b.tensor())?,
        #[cfg(feature = "cuda")]
        Backend::Cuda => cuda::add(a.tensor(), b.tensor())?,
        _ => (a.tensor() + b.tensor())?,
    };
    let to = [a.node(), b.node()];
    context.record_one(&[a, b], &[], y, move |gradient, pass| {
        to.into_iter().try_for_each(|node| pass.share(node, &gradient))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check, random};

    #[test]
    fn agrees_with_candle_and_with_differences() {
        check(
            &[random((30, 21), 0), random((30, 21), 1)],
            &[],
            |context, x, _| add(context, &x[0], &x[1]),
            |t| &t[0] + &t[1],
        );
    }

    #[test]
    fn a_sum_of_itself_has_three_times_the_gradient() {
        let thrice =
            |context: &Context, x: &[Activation]| add(context, &x[0], &add(context, &x[0], &x[0])?);
        check(&[random((5, 3), 0)], &[], |context, x, _| thrice(context, x), |t| &t[0] * 3.0);
    }

    #[test]
    fn shapes_that_differ_are_an_error() {
        let context = Context::new(&candle_core::Device::Cpu);
        let [a, b] = [random((2, 3), 0), random((3, 2), 1)].map(Activation::untracked);
        assert!(add(&context, &a, &b).is_err());
    }
}
