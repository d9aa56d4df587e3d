//! Length of a gradient, and how much of it is let through.

use candle_core::{Result, Tensor};
use vrft_kernels::Gradients;

use crate::elementwise::squares_of;

/// Added to the norm in the clipping factor, as `torch.nn.utils.clip_grad_norm_` does.
const CLIP_EPS: f64 = 1e-6;

/// Length of all gradients taken as one vector.
pub(crate) fn norm(gradients: &Gradients) -> Result<f64> {
    let mut squares = gradients.all().map(squares_of).sum::<f64>();
    // Fetched from their device all at once.
    let sums = gradients.tensors().map(|tensor| tensor.sqr()?.sum_all());
    let sums = sums.collect::<Result<Vec<Tensor>>>()?;
    if !sums.is_empty() {
        squares +=
            Tensor::stack(&sums, 0)?.to_vec1::<f32>()?.into_iter().map(f64::from).sum::<f64>();
    }
    Ok(squares.sqrt())
}

/// What gradients of this norm are multiplied with so that it does not exceed the maximum; 0 for no maximum.
pub(crate) fn clip_factor(norm: f64, max_norm: f64) -> f64 {
    match max_norm > 0.0 {
        true => (max_norm / (norm + CLIP_EPS)).min(1.0),
        false => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};
    use vrft_kernels::Backend;

    use super::*;

    #[track_caller]
    fn check_norm(backend: Backend) {
        let var = |values: &[f32]| Var::new(values, &Device::Cpu).unwrap();
        let (a, b, unreached) = (var(&[1., 2.]), var(&[3.]), var(&[5.]));
        let mut gradients = Gradients::new(backend);
        for variable in [&a, &b, &a] {
            gradients.add(variable, &(variable.as_tensor() * 2.0).unwrap()).unwrap();
        }
        assert!((norm(&gradients).unwrap() - (16f64 + 64. + 36.).sqrt()).abs() < 1e-5);
        assert!(gradients.get(&unreached).is_none() && gradients.tensor(&unreached).is_none());
    }

    #[test]
    fn the_norm_is_that_of_all_sums() {
        check_norm(Backend::Cpu);
        check_norm(Backend::Composed);
    }

    #[test]
    fn long_gradients_are_cut_and_short_ones_left() {
        assert!((clip_factor(4.0, 1.0) - 0.25).abs() < 1e-6);
        assert_eq!(clip_factor(0.5, 1.0), 1.0);
        assert_eq!(clip_factor(1e9, 0.0), 1.0);
    }
}
