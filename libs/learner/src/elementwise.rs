//! Updates of large tensors in place, over all cores, without an allocation.
//!
//! Each element depends on its own inputs alone, so the result does not depend on how the work is divided.

use std::cell::RefCell;

use candle_core::{
    CpuStorage, DType, InplaceOp1, InplaceOp2, InplaceOp3, Layout, Result, Storage, Tensor, bail,
};
use kernels::vectorized;
use rayon::prelude::*;

/// Elements that one core takes at a time: small enough to stay in its cache, large enough to be worth a task.
const CHUNK: usize = 1 << 14;

/// Whether a tensor can be updated here; on other devices the update is composed of candle's operations.
pub(crate) fn is_supported(tensor: &Tensor) -> bool {
    tensor.device().is_cpu() && tensor.dtype() == DType::F32 && tensor.is_contiguous()
}

/// `to[i] = update(to[i], a[i])`.
pub(crate) fn update2(
    to: &Tensor,
    a: &Tensor,
    update: impl Fn(f32, f32) -> f32 + Sync,
) -> Result<()> {
    to.inplace_op2(a, &Update2(update))
}

/// `to[i] = update(to[i], a[i], b[i])`.
pub(crate) fn update3(
    to: &Tensor,
    a: &Tensor,
    b: &Tensor,
    update: impl Fn(f32, f32, f32) -> f32 + Sync,
) -> Result<()> {
    to.inplace_op3(a, b, &Update3(update))
}

/// Sum of squares in f64; chunk by chunk and in order, so that it is the same on every run.
pub(crate) fn sum_of_squares(tensor: &Tensor) -> Result<f64> {
    if !is_supported(tensor) {
        return Ok(f64::from(tensor.sqr()?.sum_all()?.to_scalar::<f32>()?));
    }
    let (storage, layout) = tensor.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else { bail!("expected a tensor on the CPU") };
    Ok(squares_of(values(storage, layout)?))
}

/// Sum of squares in f64, in order.
pub(crate) fn squares_of(values: &[f32]) -> f64 {
    let chunks = values.par_chunks(CHUNK).map(|chunk| {
        vectorized(
            #[inline(always)]
            || sum_of_squares_in_lanes(chunk),
        )
    });
    chunks.collect::<Vec<f64>>().into_iter().sum()
}

/// One update of a weight and its two moments by a gradient, in one pass over memory.
pub(crate) fn update_weight(
    [weight, first, second]: [&Tensor; 3],
    gradient: &[f32],
    update: impl Fn(&mut f32, &mut f32, &mut f32, f32) + Sync,
) -> Result<()> {
    with_values_mut(weight, |weight| {
        with_values_mut(first, |first| {
            with_values_mut(second, |second| {
                let state = first.par_chunks_mut(CHUNK).zip(second.par_chunks_mut(CHUNK));
                let chunks = weight.par_chunks_mut(CHUNK).zip(state);
                chunks.zip(gradient.par_chunks(CHUNK)).for_each(|((w, (m, v)), g)| {
                    vectorized(
                        #[inline(always)]
                        || {
                            for ((w, (m, v)), g) in
                                w.iter_mut().zip(m.iter_mut().zip(v.iter_mut())).zip(g)
                            {
                                update(w, m, v, *g);
                            }
                        },
                    )
                });
            })
        })
    })
    .and_then(|inner| inner.and_then(|inner| inner))
}

/// Calls `f` with the values of a contiguous f32 tensor on the CPU, to be changed in place.
fn with_values_mut<R>(tensor: &Tensor, f: impl FnOnce(&mut [f32]) -> R) -> Result<R> {
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
        let values = values_mut(storage, layout)?;
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

struct Update2<F>(F);

impl<F: Fn(f32, f32) -> f32 + Sync> InplaceOp2 for Update2<F> {
    fn name(&self) -> &'static str {
        "update2"
    }

    fn cpu_fwd(
        &self,
        to: &mut CpuStorage,
        to_layout: &Layout,
        a: &CpuStorage,
        a_layout: &Layout,
    ) -> Result<()> {
        let a = values(a, a_layout)?;
        let to = values_mut(to, to_layout)?;
        to.par_chunks_mut(CHUNK).zip(a.par_chunks(CHUNK)).for_each(|(to, a)| {
            for (to, a) in to.iter_mut().zip(a) {
                *to = self.0(*to, *a);
            }
        });
        Ok(())
    }
}

struct Update3<F>(F);

impl<F: Fn(f32, f32, f32) -> f32 + Sync> InplaceOp3 for Update3<F> {
    fn name(&self) -> &'static str {
        "update3"
    }

    fn cpu_fwd(
        &self,
        to: &mut CpuStorage,
        to_layout: &Layout,
        a: &CpuStorage,
        a_layout: &Layout,
        b: &CpuStorage,
        b_layout: &Layout,
    ) -> Result<()> {
        let (a, b) = (values(a, a_layout)?, values(b, b_layout)?);
        let to = values_mut(to, to_layout)?;
        let inputs = a.par_chunks(CHUNK).zip(b.par_chunks(CHUNK));
        to.par_chunks_mut(CHUNK).zip(inputs).for_each(|(to, (a, b))| {
            for ((to, a), b) in to.iter_mut().zip(a).zip(b) {
                *to = self.0(*to, *a, *b);
            }
        });
        Ok(())
    }
}

fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => bail!("expected a contiguous tensor, got strides {:?}", layout.stride()),
    }
}

fn values_mut<'a>(storage: &'a mut CpuStorage, layout: &Layout) -> Result<&'a mut [f32]> {
    match (layout.contiguous_offsets(), storage) {
        (Some((start, end)), CpuStorage::F32(values)) => Ok(&mut values[start..end]),
        (None, _) => bail!("expected a contiguous tensor, got strides {:?}", layout.stride()),
        _ => bail!("expected a tensor of f32"),
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    fn arange(n: usize) -> Tensor {
        Tensor::arange(0f32, n as f32, &Device::Cpu).unwrap()
    }

    #[test]
    fn every_element_is_updated_once() {
        let n = 3 * CHUNK + 5;
        let (to, a, b) = (arange(n), arange(n), arange(n));
        update2(&to, &a, |to, a| to + 2.0 * a).unwrap();
        update3(&to, &a, &b, |to, a, b| to + a - 3.0 * b).unwrap();
        let expect: Vec<f32> = (0..n).map(|i| i as f32).collect();
        assert_eq!(to.to_vec1::<f32>().unwrap(), expect);
    }

    #[test]
    fn squares_are_summed() {
        let n = CHUNK + 13;
        let expect: f64 = (0..n).map(|i| (i as f64).powi(2)).sum();
        assert_eq!(sum_of_squares(&arange(n)).unwrap(), expect);
    }

    #[test]
    fn a_transposed_tensor_is_summed_all_the_same() {
        let tensor = arange(6).reshape((2, 3)).unwrap().t().unwrap();
        assert_eq!(sum_of_squares(&tensor).unwrap(), 55.0);
    }
}
