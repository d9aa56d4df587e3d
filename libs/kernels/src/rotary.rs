//! Rotary position embedding ([arXiv 2104.09864](https://arxiv.org/abs/2104.09864)), half-split convention.

use candle_core::{CpuStorage, CustomOp3, D, Layout, Result, Shape, Tensor, bail};

use crate::buffer::{self, dims2, for_rows, output, unset, values, with_values};
use crate::tape;

/// Turns every head of every row: x (N, heads · head_dim), cos and sin (N, head_dim / 2).
///
/// Value `i` of a head pairs with value `i + head_dim / 2`. The tables get no gradient.
///
/// # Errors
/// Shapes that do not fit.
pub fn rotary(x: &Tensor, cos: &Tensor, sin: &Tensor) -> Result<Tensor> {
    if !buffer::fused(&[x, cos, sin]) {
        let (cos, sin) = (cos.clone(), sin.clone());
        return tape::composed(&[x], move |t| composed(&t[0], &cos, &sin));
    }
    tape::apply3(&x.contiguous()?, &cos.contiguous()?, &sin.contiguous()?, Rotary)
}

fn composed(x: &Tensor, cos: &Tensor, sin: &Tensor) -> Result<Tensor> {
    let ((n, width), (_, half)) = (x.dims2()?, cos.dims2()?);
    let dtype = x.dtype();
    let x = x.to_dtype(cos.dtype())?.reshape((n, width / (2 * half), 2 * half))?; // (N, heads, head_dim)
    let (a, b) = (x.narrow(D::Minus1, 0, half)?, x.narrow(D::Minus1, half, half)?);
    let (cos, sin) = (cos.unsqueeze(1)?, sin.unsqueeze(1)?); // (N, 1, head_dim / 2)
    let turned_a = (a.broadcast_mul(&cos)? - b.broadcast_mul(&sin)?)?;
    let turned_b = (b.broadcast_mul(&cos)? + a.broadcast_mul(&sin)?)?;
    Tensor::cat(&[turned_a, turned_b], D::Minus1)?.reshape((n, width))?.to_dtype(dtype)
}

struct Rotary;

impl Rotary {
    /// `sign` −1 turns back, which is also the gradient.
    fn turn(x: &[f32], cos: &[f32], sin: &[f32], n: usize, width: usize, sign: f32) -> Vec<f32> {
        let half = cos.len() / n.max(1);
        let mut y = unset(n * width);
        for_rows(
            &mut y,
            width,
            #[inline(always)]
            |i, y| {
                let (cos, sin) = (&cos[i * half..][..half], &sin[i * half..][..half]);
                let heads = x[i * width..][..width].chunks_exact(2 * half);
                for (y, x) in y.chunks_exact_mut(2 * half).zip(heads) {
                    let ((y_a, y_b), (a, b)) = (y.split_at_mut(half), x.split_at(half));
                    for j in 0..half {
                        y_a[j] = a[j] * cos[j] - sign * b[j] * sin[j];
                        y_b[j] = b[j] * cos[j] + sign * a[j] * sin[j];
                    }
                }
            },
        );
        y
    }
}

impl CustomOp3 for Rotary {
    fn name(&self) -> &'static str {
        "rotary"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        cos: &CpuStorage,
        cos_layout: &Layout,
        sin: &CpuStorage,
        sin_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let ((n, width), (rows, half)) = (dims2(x_layout)?, dims2(cos_layout)?);
        if rows != n
            || half == 0
            || !width.is_multiple_of(2 * half)
            || dims2(sin_layout)? != (rows, half)
        {
            bail!("rotary: tables are ({rows}, {half}), x is ({n}, {width})")
        }
        let (cos, sin) = (values(cos, cos_layout)?, values(sin, sin_layout)?);
        let dtype = candle_core::backend::BackendStorage::dtype(x);
        let turned = Rotary::turn(&values(x, x_layout)?, &cos, &sin, n, width, 1.0);
        Ok(output(turned, (n, width), dtype))
    }

    fn bwd(
        &self,
        x: &Tensor,
        cos: &Tensor,
        sin: &Tensor,
        _y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (n, width) = x.dims2()?;
        with_values([&grad.contiguous()?, cos, sin], |[grad, cos, sin]| {
            let back = Rotary::turn(grad, cos, sin, n, width, -1.0);
            Ok((Some(buffer::like(back, x)?), None, None))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check, random};

    #[test]
    fn agrees_with_candle_and_with_differences() {
        let angle = random((11, 4), 7);
        let (cos, sin) = (angle.cos().unwrap(), angle.sin().unwrap());
        check(
            &[random((11, 24), 0)],
            |t| rotary(&t[0], &cos, &sin),
            |t| composed(&t[0], &cos, &sin),
        );
    }

    #[test]
    fn tables_that_do_not_fit_are_an_error() {
        let (x, table) = (random((3, 8), 0), random((2, 2), 1));
        assert!(rotary(&x, &table, &table).is_err());
    }
}
