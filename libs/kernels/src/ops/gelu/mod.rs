//! The activation functions of vision towers ([arXiv 1606.08415](https://arxiv.org/abs/1606.08415)).

mod composed;
mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

use candle_core::Result;

use crate::{Activation, Backend, Context};

/// `x · Φ(x)` with the exact normal distribution, x (N, D).
///
/// # Errors
/// Fails if x is no matrix.
pub fn gelu(context: &Context, x: &Activation) -> Result<Activation> {
    x.dims2()?;
    let backend = context.backend();
    let y = match backend {
        #[cfg(feature = "cuda")]
        Backend::Cuda => cuda::forward("gelu", x.tensor())?,
        // candle's own is fused, too.
        _ => x.tensor().gelu_erf()?,
    };
    let from = x.detach();
    let to = x.node();
    context.record_one(&[x], &[], y, move |gradient, pass| {
        let gradient = match backend {
            Backend::Cpu => cpu::gelu_backward(&from, &gradient)?,
            #[cfg(feature = "cuda")]
            Backend::Cuda => cuda::backward("gelu", &from, &gradient)?,
            _ => composed::gelu_backward(&from, &gradient)?,
        };
        pass.add(to, gradient)
    })
}

/// `x · sigmoid(1.702 x)`, x (N, D).
///
/// # Errors
/// Fails if x is no matrix.
pub fn quick_gelu(context: &Context, x: &Activation) -> Result<Activation> {
    x.dims2()?;
    let backend = context.backend();
    let y = match backend {
        Backend::Cpu => cpu::quick_gelu(x.tensor())?,
        #[cfg(feature = "cuda")]
        Backend::Cuda => cuda::forward("quick_gelu", x.tensor())?,
        _ => composed::quick_gelu(x.tensor())?,
    };
    let from = x.detach();
    let to = x.node();
    context.record_one(&[x], &[], y, move |gradient, pass| {
        let gradient = match backend {
            Backend::Cpu => cpu::quick_gelu_backward(&from, &gradient)?,
            #[cfg(feature = "cuda")]
            Backend::Cuda => cuda::backward("quick_gelu", &from, &gradient)?,
            _ => composed::quick_gelu_backward(&from, &gradient)?,
        };
        pass.add(to, gradient)
    })
}

/// `x · Φ(x)` with the normal distribution as a sigmoid of a cubic approximates it, `gelu_pytorch_tanh` of transformers;
/// x (N, D).
///
/// # Errors
/// Fails if x is no matrix.
pub fn gelu_tanh(context: &Context, x: &Activation) -> Result<Activation> {
    x.dims2()?;
    let backend = context.backend();
    let y = match backend {
        Backend::Cpu => cpu::gelu_tanh(x.tensor())?,
        #[cfg(feature = "cuda")]
        Backend::Cuda => cuda::forward("gelu_tanh", x.tensor())?,
        _ => composed::gelu_tanh(x.tensor())?,
    };
    let from = x.detach();
    let to = x.node();
    context.record_one(&[x], &[], y, move |gradient, pass| {
        let gradient = match backend {
            Backend::Cpu => cpu::gelu_tanh_backward(&from, &gradient)?,
            #[cfg(feature = "cuda")]
            Backend::Cuda => cuda::backward("gelu_tanh", &from, &gradient)?,
            _ => composed::gelu_tanh_backward(&from, &gradient)?,
        };
        pass.add(to, gradient)
    })
}

/// The cubic's factor beside its line.
const CUBIC: f32 = 0.044_715;
/// 2 · √(2 / π): tanh is a sigmoid of twice its argument.
const STEEPNESS: f32 = 1.595_769;

/// 1.702, the slope with which a sigmoid resembles the normal distribution's.
const SLOPE: f32 = 1.702;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check, random};

    #[test]
    fn quick_gelu_agrees_with_candle_and_with_differences() {
        let x = [random((30, 21), 0)];
        check(&x, &[], |context, x, _| quick_gelu(context, &x[0]), |t| composed::quick_gelu(&t[0]));
    }

    #[test]
    fn gelu_tanh_agrees_with_candle_and_with_differences() {
        let x = [(random((30, 21), 0) * 4.0).unwrap()];
        check(&x, &[], |context, x, _| gelu_tanh(context, &x[0]), |t| t[0].gelu());
    }

    #[test]
    fn gelu_agrees_with_candle_and_with_differences() {
        let x = [random((30, 21), 0)];
        check(&x, &[], |context, x, _| gelu(context, &x[0]), |t| t[0].gelu_erf());
    }
}
