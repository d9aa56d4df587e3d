//! Sums of two tensors of a shape.

use candle_core::{CpuStorage, CustomOp2, InplaceOp2, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use crate::buffer::{self, add_all, output, unset, values};
use crate::simd::vectorized;
use crate::tape;

/// Values that one task takes.
const CHUNK: usize = 1 << 14;

/// `a + b`, both of the same shape: a residual connection. The gradient is passed on, not copied.
///
/// # Errors
/// Shapes that differ.
pub fn add(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    if a.dims() != b.dims() {
        bail!("add: {:?} and {:?} differ in shape", a.dims(), b.dims())
    }
    let fused = buffer::fused(&[a, b]);
    let (a, b) = (a.contiguous()?, b.contiguous()?);
    let y = match (tape::is_recording(), fused) {
        (false, false) => return a + b,
        (false, true) => return a.apply_op2(&b, Add),
        (true, false) => (a.detach() + b.detach())?,
        (true, true) => a.detach().apply_op2_no_bwd(&b.detach(), &Add)?,
    };
    tape::note(&[&a.clone(), &b.clone()], &y, move |grad, adjoints| {
        adjoints.pass(&a, grad)?;
        adjoints.pass(&b, grad)
    })?;
    Ok(y)
}

/// `a + b`.
pub(crate) fn sum_of(a: &[f32], b: &[f32]) -> Vec<f32> {
    let mut y = unset(a.len());
    let inputs = a.par_chunks(CHUNK).zip(b.par_chunks(CHUNK));
    y.par_chunks_mut(CHUNK).zip(inputs).for_each(|(y, (a, b))| {
        vectorized(
            #[inline(always)]
            || {
                for (y, (a, b)) in y.iter_mut().zip(a.iter().zip(b)) {
                    *y = a + b;
                }
            },
        )
    });
    y
}

struct Add;

impl CustomOp2 for Add {
    fn name(&self) -> &'static str {
        "add"
    }

    fn cpu_fwd(
        &self,
        a: &CpuStorage,
        a_layout: &Layout,
        b: &CpuStorage,
        b_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let dtype = candle_core::backend::BackendStorage::dtype(a);
        let y = sum_of(&values(a, a_layout)?, &values(b, b_layout)?);
        Ok(output(y, a_layout.shape(), dtype))
    }

    fn bwd(
        &self,
        _a: &Tensor,
        b: &Tensor,
        _y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        Ok((Some(grad.clone()), Some(grad.to_dtype(b.dtype())?)))
    }
}

/// `a += b` in place.
pub(crate) struct AddTo;

impl InplaceOp2 for AddTo {
    fn name(&self) -> &'static str {
        "add_to"
    }

    fn cpu_fwd(
        &self,
        a: &mut CpuStorage,
        a_layout: &Layout,
        b: &CpuStorage,
        b_layout: &Layout,
    ) -> Result<()> {
        let Some((start, end)) = a_layout.contiguous_offsets() else {
            bail!("add_to: the sum should be contiguous, got strides {:?}", a_layout.stride())
        };
        let b = values(b, b_layout)?;
        match a {
            CpuStorage::F32(a) => add_all(&mut a[start..end], &b),
            CpuStorage::BF16(a) => {
                let sum = sum_of(&buffer::widen(&a[start..end]), &b);
                a[start..end].copy_from_slice(&buffer::narrow(&sum));
            }
            _ => bail!("add_to: the sum should be f32 or bf16"),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check, random};

    #[test]
    fn agrees_with_candle_and_with_differences() {
        check(
            &[random((30, 21), 0), random((30, 21), 1)],
            |t| add(&t[0], &t[1]),
            |t| &t[0] + &t[1],
        );
    }

    #[test]
    fn a_sum_of_itself_has_twice_the_gradient() {
        check(&[random((5, 3), 0)], |t| add(&t[0], &add(&t[0], &t[0])?), |t| &t[0] * 3.0);
    }

    #[test]
    fn shapes_that_differ_are_an_error() {
        assert!(add(&random((2, 3), 0), &random((3, 2), 1)).is_err());
    }
}
