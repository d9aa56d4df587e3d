//! Dropout ([arXiv 1207.0580](https://arxiv.org/abs/1207.0580)) whose mask is a function of a seed.

#[cfg(feature = "cuda")]
mod cuda;

use candle_core::{Device, Result, Tensor};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::cpu::{like, make_rows, with_values};
use crate::{Activation, Backend, Context};

/// In a training pass with dropout, x (N, D) with each value set to 0 at this probability and divided by the rest; else x as it is.
///
/// The mask depends on the pass's seed ([`Tape::with_dropout`](crate::Tape::with_dropout)) and on `layer`, a number that tells one
/// layer from another: a layer that is computed again drops the same values, and so does a run that is resumed.
///
/// # Errors
/// Fails if x is no matrix.
pub fn dropout(
    context: &Context,
    x: &Activation,
    probability: f64,
    layer: u64,
) -> Result<Activation> {
    let Some(seed) = context.dropout_seed().filter(|_| probability > 0.0) else {
        return Ok(x.clone());
    };
    let dims = x.dims2()?;
    #[cfg(feature = "cuda")]
    if context.backend() == Backend::Cuda {
        let seed = seed.max(1) ^ layer;
        let to = x.node();
        let y = cuda::dropped(x.tensor(), seed, probability)?;
        return context.record_one(&[x], &[], y, move |gradient, pass| {
            pass.add(to, cuda::dropped(&gradient, seed, probability)?)
        });
    }
    // Seed 0 once meant "no dropout", and runs that were made with it should stay what they are.
    let mask = mask(seed.max(1) ^ layer, probability, dims)?;
    let mask = mask.to_dtype(x.dtype())?.to_device(context.device())?;
    let backend = context.backend();
    let y = masked(backend, x.tensor(), &mask)?;
    let to = x.node();
    context.record_one(&[x], &[], y, move |gradient, pass| {
        pass.add(to, masked(backend, &gradient, &mask)?)
    })
}

/// What each value is multiplied with: 0, or one over the share of values that stay.
fn mask(seed: u64, probability: f64, (n, width): (usize, usize)) -> Result<Tensor> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let kept = (1.0 / (1.0 - probability)) as f32;
    let limit = (probability * f64::from(u32::MAX)) as u32;
    let value = |_| if rng.random::<u32>() < limit { 0.0 } else { kept };
    Tensor::from_vec((0..n * width).map(value).collect(), (n, width), &Device::Cpu)
}

fn masked(backend: Backend, x: &Tensor, mask: &Tensor) -> Result<Tensor> {
    match backend {
        Backend::Cpu => masked_on_cpu(x, mask),
        Backend::Cuda | Backend::Composed => x * mask,
    }
}

fn masked_on_cpu(x: &Tensor, mask: &Tensor) -> Result<Tensor> {
    let (n, width) = x.dims2()?;
    let values = with_values([x, mask], |[x, mask]| {
        Ok(make_rows(
            n,
            width,
            #[inline(always)]
            |i, y| {
                let row = i * width..(i + 1) * width;
                y.write(x[row.clone()].iter().zip(&mask[row]).map(|(x, mask)| x * mask))
            },
        ))
    })?;
    like(values, x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tape;
    use crate::testing::{TAPE_SEED, check, random};

    /// In training alone, so the reference takes the mask that the tape's seed gives.
    #[test]
    fn agrees_with_candle() {
        let mask = mask(TAPE_SEED ^ 5, 0.4, (30, 21)).unwrap();
        crate::testing::check_training(
            &[random((30, 21), 0)],
            &[],
            |context, x, _| dropout(context, &x[0], 0.4, 5),
            |t| &t[0] * &mask,
        );
    }

    #[test]
    fn inference_drops_nothing() {
        let of = |context: &Context, x: &[Activation]| dropout(context, &x[0], 0.0, 5);
        check(&[random((4, 3), 0)], &[], |context, x, _| of(context, x), |t| Ok(t[0].clone()));
        let x = Activation::untracked(random((4, 3), 0));
        let y = dropout(&Context::new(&Device::Cpu), &x, 0.9, 5).unwrap();
        assert_eq!(x.detach().to_vec2::<f32>().unwrap(), y.detach().to_vec2::<f32>().unwrap());
    }

    #[test]
    fn about_as_many_values_are_dropped_as_the_probability_says() {
        let tape = Tape::new().with_dropout(Some(3));
        let x = Activation::untracked(
            Tensor::ones((100, 100), candle_core::DType::F32, &Device::Cpu).unwrap(),
        );
        let context = Context::new(&Device::Cpu);
        let of = |layer| {
            let y = dropout(&context.training(&tape), &x, 0.3, layer).unwrap();
            y.detach().flatten_all().unwrap().to_vec1::<f32>().unwrap()
        };
        let dropped = of(1).iter().filter(|x| **x == 0.0).count();
        assert!((2800..3200).contains(&dropped), "{dropped} of 10000");
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
    }
}
