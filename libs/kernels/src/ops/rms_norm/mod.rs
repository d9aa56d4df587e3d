//! Root mean square normalization ([arXiv 1910.07467](https://arxiv.org/abs/1910.07467)).

mod composed;
mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

use candle_core::{Result, bail};

use crate::{Activation, Backend, Context, Weight};

/// `x / sqrt(mean(x²) + eps) · weight` over the last axis: x (N, D), weight (D).
///
/// # Errors
/// Shapes that do not fit.
pub fn rms_norm(
    context: &Context,
    x: &Activation,
    weight: &Weight,
    eps: f64,
) -> Result<Activation> {
    let (_, width) = x.dims2()?;
    if weight.dims() != [width] {
        bail!("rms_norm: weight should have {width} values, got {:?}", weight.dims())
    }
    let backend = context.backend();
    let y = match backend {
        Backend::Cpu => cpu::forward(x.tensor(), weight.tensor()?, eps)?,
        #[cfg(feature = "cuda")]
        Backend::Cuda => cuda::forward(x.tensor(), weight.tensor()?, eps)?,
        _ => composed::forward(x.tensor(), weight.tensor()?, eps)?,
    };
    let from = x.detach();
    let to = x.node();
    let of = weight.clone();
    context.record_one(&[x], &[weight], y, move |gradient, pass| {
        let [of_x, of_weight] = match backend {
            Backend::Cpu => cpu::backward(&from, of.tensor()?, &gradient, eps)?,
            #[cfg(feature = "cuda")]
            Backend::Cuda => {
                let (of_x, of_weight) =
                    cuda::backward(&from, of.tensor()?, &gradient, eps, of.is_trainable())?;
                pass.add(to, of_x)?;
                return of_weight.map_or(Ok(()), |of_weight| pass.add_to_weight(&of, &of_weight));
            }
            _ => composed::backward(&from, of.tensor()?, &gradient, eps)?,
        };
        pass.add(to, of_x)?;
        pass.add_to_weight(&of, &of_weight)
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
            &[random(width, 1)],
            |context, x, w| rms_norm(context, &x[0], &w[0], 1e-5),
            |t| composed::forward(&t[0], &t[1], 1e-5),
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
