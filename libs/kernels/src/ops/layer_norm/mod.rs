//! Layer normalization ([arXiv 1607.06450](https://arxiv.org/abs/1607.06450)).

mod composed;
mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

use candle_core::{Result, bail};

use crate::{Activation, Backend, Context, Weight};

/// `(x - mean) / sqrt(variance + eps) · weight + bias` over the last axis: x (N, D), weight and bias (D).
///
/// # Errors
/// Shapes that do not fit.
pub fn layer_norm(
    context: &Context,
    x: &Activation,
    weight: &Weight,
    bias: &Weight,
    eps: f64,
) -> Result<Activation> {
    let (_, width) = x.dims2()?;
    if (weight.dims(), bias.dims()) != (&[width], &[width]) {
        let weight = weight.dims();
        let bias = bias.dims();
        bail!("layer_norm: weight and bias should have {width} values, got {weight:?} and {bias:?}")
    }
    let backend = context.backend();
    let y = match backend {
        Backend::Cpu => cpu::forward(x.tensor(), weight.tensor()?, bias.tensor()?, eps)?,
        #[cfg(feature = "cuda")]
        Backend::Cuda => cuda::forward(x.tensor(), weight.tensor()?, bias.tensor()?, eps)?,
        _ => composed::forward(x.tensor(), weight.tensor()?, bias.tensor()?, eps)?,
    };
    let from = x.detach();
    let to = x.node();
    let weights = [weight.clone(), bias.clone()];
    context.record_one(&[x], &[weight, bias], y, move |gradient, pass| {
        let [weight, bias] = &weights;
        let [of_x, of_weight, of_bias] = match backend {
            Backend::Cpu => cpu::backward(&from, weight.tensor()?, &gradient, eps)?,
            #[cfg(feature = "cuda")]
            Backend::Cuda => {
                let is_trained = weight.is_trainable() || bias.is_trainable();
                let (of_x, of_both) =
                    cuda::backward(&from, weight.tensor()?, &gradient, eps, is_trained)?;
                pass.add(to, of_x)?;
                let of_both = [weight, bias].into_iter().zip(of_both.into_iter().flatten());
                return of_both.into_iter().try_for_each(|(of, sum)| pass.add_to_weight(of, &sum));
            }
            _ => composed::backward(&from, weight.tensor()?, &gradient, eps)?,
        };
        pass.add(to, of_x)?;
        pass.add_to_weight(weight, &of_weight)?;
        pass.add_to_weight(bias, &of_bias)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check, random};

    #[track_caller]
    fn check_shape(n: usize, width: usize) {
        check(
            &[random((n, width), 0)],
            &[random(width, 1), random(width, 2)],
            |context, x, w| layer_norm(context, &x[0], &w[0], &w[1], 1e-5),
            |t| composed::forward(&t[0], &t[1], &t[2], 1e-5),
        );
    }

    #[test]
    fn agrees_with_candle_and_with_differences() {
        check_shape(70, 19)
    }

    #[test]
    fn many_rows_take_the_parallel_path() {
        check_shape(1100, 40)
    }
}
