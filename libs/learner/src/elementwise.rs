//! Large tensors as slices: sums in order, updates in place.

use std::cell::RefCell;

use candle_core::{CpuStorage, InplaceOp1, Layout, Result, Tensor, bail};
use rayon::prelude::*;
use vrft_kernels::vectorized;

/// Elements that one core takes at a time: small enough to stay in its cache, large enough to be worth a task.
pub(crate) const CHUNK: usize = 1 << 14;

/// Sum of squares in f64; chunk by chunk and in order, so that it is the same on every run.
pub(crate) fn squares_of(values: &[f32]) -> f64 {
    let chunks = values.par_chunks(CHUNK).map(|chunk| {
        vectorized(
            #[inline(always)]
            || sum_of_squares_in_lanes(chunk),
        )
    });
    chunks.collect::<Vec<f64>>().into_iter().sum()
}

/// Calls `f` with the values of a contiguous f32 tensor on the CPU, to be changed in place.
pub(crate) fn with_values_mut<R>(tensor: &Tensor, f: impl FnOnce(&mut [f32]) -> R) -> Result<R> {
    let once = Once { f: RefCell::new(Some(f)), result: RefCell::new(None) };
    tensor.inplace_op1(&once)?;
    match once.result.into_inner() {
        Some(result) => Ok(result),
        None => bail!("a tensor on the CPU was expected"),
    }
}

struct Once<F, R> {
    f: RefCell<Option<F>>,
    result: RefCell<Option<R>>,
}

impl<R, F: FnOnce(&mut [f32]) -> R> InplaceOp1 for Once<F, R> {
    fn name(&self) -> &'static str {
        "with_values_mut"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let values = match (layout.contiguous_offsets(), storage) {
            (Some((start, end)), CpuStorage::F32(values)) => &mut values[start..end],
            (None, _) => bail!("expected a contiguous tensor, got strides {:?}", layout.stride()),
            _ => bail!("expected a tensor of f32"),
        };
        if let Some(f) = self.f.take() {
            self.result.replace(Some(f(values)));
        }
        Ok(())
    }
}

/// Eight running sums, which the compiler turns into vector instructions.
#[inline(always)]
fn sum_of_squares_in_lanes(chunk: &[f32]) -> f64 {
    const LANES: usize = 8;
    let mut sums = [0f64; LANES];
    let (lanes, rest) = chunk.as_chunks::<LANES>();
    for lane in lanes {
        for (sum, x) in sums.iter_mut().zip(lane) {
            *sum += f64::from(*x) * f64::from(*x);
        }
    }
    sums.iter().sum::<f64>() + rest.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn values_are_changed_where_they_are() {
        let tensor = Tensor::arange(0f32, 6., &Device::Cpu).unwrap().reshape((2, 3)).unwrap();
        with_values_mut(&tensor, |values| values.iter_mut().for_each(|x| *x += 1.0)).unwrap();
        assert_eq!(tensor.to_vec2::<f32>().unwrap(), [[1., 2., 3.], [4., 5., 6.]]);
        assert!(with_values_mut(&tensor.t().unwrap(), |_| ()).is_err());
    }

    #[test]
    fn squares_are_summed() {
        let values: Vec<f32> = (0..CHUNK + 13).map(|i| i as f32).collect();
        let expect: f64 = values.iter().map(|x| f64::from(*x).powi(2)).sum();
        assert_eq!(squares_of(&values), expect);
    }
}
