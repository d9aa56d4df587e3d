//! Products with numbers that nothing trains: a factor, a mask.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor, bail};

use crate::buffer::{self, dims2, for_rows, output, unset, values, with_values};
use crate::tape;

/// `factor · x`, x (N, D).
///
/// # Errors
/// What candle says.
pub fn scale(x: &Tensor, factor: f64) -> Result<Tensor> {
    if !buffer::fused(&[x]) {
        return tape::composed(&[x], move |t| &t[0] * factor);
    }
    tape::apply1(&x.contiguous()?, Scale(factor as f32))
}

/// `x · mask`, both (N, D); the mask gets no gradient.
///
/// # Errors
/// Shapes that differ.
pub fn mask(x: &Tensor, mask: &Tensor) -> Result<Tensor> {
    if x.dims() != mask.dims() {
        bail!("mask: {:?} for an x of {:?}", mask.dims(), x.dims())
    }
    if !buffer::fused(&[x, mask]) {
        let mask = mask.clone();
        return tape::composed(&[x], move |t| &t[0] * &mask);
    }
    tape::apply2(&x.contiguous()?, &mask.contiguous()?, Mask)
}

struct Scale(f32);

impl Scale {
    fn apply(&self, x: &[f32], width: usize) -> Vec<f32> {
        let mut y = unset(x.len());
        for_rows(
            &mut y,
            width,
            #[inline(always)]
            |i, y| {
                for (y, x) in y.iter_mut().zip(&x[i * width..]) {
                    *y = self.0 * x;
                }
            },
        );
        y
    }
}

impl CustomOp1 for Scale {
    fn name(&self) -> &'static str {
        "scale"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let dtype = candle_core::backend::BackendStorage::dtype(x);
        let dims = dims2(layout)?;
        Ok(output(self.apply(&values(x, layout)?, dims.1), dims, dtype))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let width = x.dim(1)?;
        let grad = with_values([&grad.contiguous()?], |[grad]| Ok(self.apply(grad, width)))?;
        Ok(Some(buffer::like(grad, x)?))
    }
}

struct Mask;

impl Mask {
    fn apply(x: &[f32], mask: &[f32], width: usize) -> Vec<f32> {
        let mut y = unset(x.len());
        for_rows(
            &mut y,
            width,
            #[inline(always)]
            |i, y| {
                let inputs = x[i * width..].iter().zip(&mask[i * width..]);
                for (y, (x, mask)) in y.iter_mut().zip(inputs) {
                    *y = x * mask;
                }
            },
        );
        y
    }
}

impl CustomOp2 for Mask {
    fn name(&self) -> &'static str {
        "mask"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        mask: &CpuStorage,
        mask_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let dtype = candle_core::backend::BackendStorage::dtype(x);
        let dims = dims2(x_layout)?;
        let y = Mask::apply(&values(x, x_layout)?, &values(mask, mask_layout)?, dims.1);
        Ok(output(y, dims, dtype))
    }

    fn bwd(
        &self,
        x: &Tensor,
        mask: &Tensor,
        _y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let width = x.dim(1)?;
        let grad = with_values([&grad.contiguous()?, mask], |[grad, mask]| {
            Ok(Mask::apply(grad, mask, width))
        })?;
        Ok((Some(buffer::like(grad, x)?), None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check, random};

    #[test]
    fn a_factor_agrees_with_candle_and_with_differences() {
        check(&[random((30, 21), 0)], |t| scale(&t[0], 0.3), |t| &t[0] * 0.3);
    }

    #[test]
    fn a_mask_agrees_with_candle_and_with_differences() {
        let kept = random((30, 21), 1);
        check(&[random((30, 21), 0)], |t| mask(&t[0], &kept), |t| &t[0] * &kept);
    }
}
