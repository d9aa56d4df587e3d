//! Root mean square normalization ([arXiv 1910.07467](https://arxiv.org/abs/1910.07467)).

use candle_core::{CpuStorage, CustomOp2, D, DType, Layout, Result, Shape, Tensor, bail};

use crate::buffer::{
    self, dims2, dot, for_rows, for_rows_summing, output, unset, values, with_values,
};
use crate::tape;

/// `x / sqrt(mean(x²) + eps) · weight` over the last axis: x (N, D), weight (D).
///
/// # Errors
/// Shapes that do not fit.
pub fn rms_norm(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    if !buffer::fused(&[x, weight]) {
        return tape::composed(&[x, weight], move |t| composed(&t[0], &t[1], eps));
    }
    tape::apply2(&x.contiguous()?, &weight.contiguous()?, RmsNorm { eps: eps as f32 })
}

/// The same from candle operations, with the statistics in f32.
fn composed(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    let x32 = x.to_dtype(DType::F32)?;
    let rms = (x32.sqr()?.mean_keepdim(D::Minus1)? + eps)?.sqrt()?;
    x32.broadcast_div(&rms)?.to_dtype(x.dtype())?.broadcast_mul(&weight.to_dtype(x.dtype())?)
}

struct RmsNorm {
    eps: f32,
}

impl RmsNorm {
    #[inline(always)]
    fn inverse_rms(&self, row: &[f32]) -> f32 {
        1.0 / (dot(row, row) / row.len() as f32 + self.eps).sqrt()
    }
}

impl CustomOp2 for RmsNorm {
    fn name(&self) -> &'static str {
        "rms_norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (n, width) = dims2(x_layout)?;
        let dtype = candle_core::backend::BackendStorage::dtype(x);
        let (x, weight) = (values(x, x_layout)?, values(weight, weight_layout)?);
        if weight.len() != width {
            bail!("rms_norm: weight should have {width} values, got {}", weight.len())
        }
        let mut y = unset(n * width);
        for_rows(
            &mut y,
            width,
            #[inline(always)]
            |i, y| {
                let x = &x[i * width..][..width];
                let scale = self.inverse_rms(x);
                for ((y, x), w) in y.iter_mut().zip(x).zip(weight.iter()) {
                    *y = x * scale * w;
                }
            },
        );
        Ok(output(y, (n, width), dtype))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (n, width) = x.dims2()?;
        with_values([x, weight, &grad.contiguous()?], |[xs, ws, gs]| {
            let mut grad_x = unset(n * width);
            let grad_weight = for_rows_summing(
                &mut grad_x,
                width,
                width,
                #[inline(always)]
                |i, out, sums| {
                    let (x, g) = (&xs[i * width..][..width], &gs[i * width..][..width]);
                    let scale = self.inverse_rms(x);
                    for (((out, x), g), (w, sum)) in
                        out.iter_mut().zip(x).zip(g).zip(ws.iter().zip(sums))
                    {
                        *sum += g * x * scale;
                        *out = g * w;
                    }
                    let pull = dot(out, x) * scale * scale / width as f32;
                    for (out, x) in out.iter_mut().zip(x) {
                        *out = scale * (*out - x * pull);
                    }
                },
            );
            Ok((Some(buffer::like(grad_x, x)?), Some(buffer::like(grad_weight, weight)?)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check, random};

    #[test]
    fn agrees_with_candle_and_with_differences() {
        let inputs = [random((70, 19), 0), random(19, 1)];
        check(&inputs, |t| rms_norm(&t[0], &t[1], 1e-5), |t| composed(&t[0], &t[1], 1e-5));
    }

    #[test]
    fn many_rows_take_the_parallel_path() {
        let inputs = [random((1100, 40), 2), random(40, 3)];
        check(&inputs, |t| rms_norm(&t[0], &t[1], 1e-6), |t| composed(&t[0], &t[1], 1e-6));
    }
}
