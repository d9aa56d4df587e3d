//! The gated unit of the language model's MLP ([arXiv 2002.05202](https://arxiv.org/abs/2002.05202)).

mod composed;
mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

use candle_core::{Result, bail};

use crate::{Activation, Backend, Context};

/// `silu(gate) · up`, both (N, D).
///
/// # Errors
/// Shapes or types that differ.
pub fn swiglu(context: &Context, gate: &Activation, up: &Activation) -> Result<Activation> {
    if gate.dims2()? != up.dims2()? || gate.dtype() != up.dtype() {
        let gate = (gate.dims(), gate.dtype());
        let up = (up.dims(), up.dtype());
        bail!("swiglu: gate is {gate:?}, up is {up:?}")
    }
    let backend = context.backend();
    let y = match backend {
        Backend::Cpu => cpu::forward(gate.tensor(), up.tensor())?,
        #[cfg(feature = "cuda")]
        Backend::Cuda => cuda::forward(gate.tensor(), up.tensor())?,
        _ => composed::forward(gate.tensor(), up.tensor())?,
    };
    let from = [gate.detach(), up.detach()];
    let to = [gate.node(), up.node()];
    context.record_one(&[gate, up], &[], y, move |gradient, pass| {
        let [gate, up] = &from;
        let gradients = match backend {
            Backend::Cpu => cpu::backward(gate, up, &gradient)?,
            #[cfg(feature = "cuda")]
            Backend::Cuda => cuda::backward(gate, up, &gradient)?,
            _ => composed::backward(gate, up, &gradient)?,
        };
        to.into_iter().zip(gradients).try_for_each(|(to, gradient)| pass.add(to, gradient))
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
            |context, x, _| swiglu(context, &x[0], &x[1]),
            |t| composed::forward(&t[0], &t[1]),
        );
    }

    #[test]
    fn shapes_that_differ_are_an_error() {
        let context = Context::new(&candle_core::Device::Cpu);
        let [gate, up] = [random((2, 3), 0), random((3, 2), 1)].map(Activation::untracked);
        assert!(swiglu(&context, &gate, &up).is_err());
    }
}
