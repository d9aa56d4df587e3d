//! Layer normalization ([arXiv 1607.06450](https://arxiv.org/abs/1607.06450)).

use candle_core::{CpuStorage, CustomOp3, D, DType, Layout, Result, Shape, Tensor, bail};

use crate::buffer::{
    self, dims2, for_rows, for_rows_summing, output, sum2, unset, values, with_values,
};
use crate::tape;

/// `(x - mean) / sqrt(variance + eps) · weight + bias` over the last axis: x (N, D), weight and bias (D).
///
/// # Errors
/// Shapes that do not fit.
pub fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    if !buffer::fused(&[x, weight, bias]) {
        return tape::composed(&[x, weight, bias], move |t| composed(&t[0], &t[1], &t[2], eps));
    }
    let (weight, bias) = (weight.contiguous()?, bias.contiguous()?);
    tape::apply3(&x.contiguous()?, &weight, &bias, LayerNorm { eps: eps as f32 })
}

/// The same from candle operations, with the statistics in f32.
fn composed(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    let x32 = x.to_dtype(DType::F32)?;
    let centered = x32.broadcast_sub(&x32.mean_keepdim(D::Minus1)?)?;
    let deviation = (centered.sqr()?.mean_keepdim(D::Minus1)? + eps)?.sqrt()?;
    let normalized = centered.broadcast_div(&deviation)?.to_dtype(x.dtype())?;
    let (weight, bias) = (weight.to_dtype(x.dtype())?, bias.to_dtype(x.dtype())?);
    normalized.broadcast_mul(&weight)?.broadcast_add(&bias)
}

struct LayerNorm {
    eps: f32,
}

impl LayerNorm {
    /// Mean and inverse standard deviation of a row.
    #[inline(always)]
    fn statistics(&self, row: &[f32]) -> (f32, f32) {
        let n = row.len() as f32;
        let mean = sum2(row, row, |x, _| x) / n;
        let variance = sum2(row, row, |x, _| (x - mean) * (x - mean)) / n;
        (mean, 1.0 / (variance + self.eps).sqrt())
    }
}

impl CustomOp3 for LayerNorm {
    fn name(&self) -> &'static str {
        "layer_norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (n, width) = dims2(x_layout)?;
        let dtype = candle_core::backend::BackendStorage::dtype(x);
        let x = values(x, x_layout)?;
        let (weight, bias) = (values(weight, weight_layout)?, values(bias, bias_layout)?);
        if (weight.len(), bias.len()) != (width, width) {
            let (weight, bias) = (weight.len(), bias.len());
            bail!("layer_norm: weight and bias should have {width} values, got {weight} and {bias}")
        }
        let mut y = unset(n * width);
        for_rows(
            &mut y,
            width,
            #[inline(always)]
            |i, y| {
                let x = &x[i * width..][..width];
                let (mean, scale) = self.statistics(x);
                for ((y, x), (w, b)) in y.iter_mut().zip(x).zip(weight.iter().zip(bias.iter())) {
                    *y = (x - mean) * scale * w + b;
                }
            },
        );
        Ok(output(y, (n, width), dtype))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (n, width) = x.dims2()?;
        with_values([x, weight, &grad.contiguous()?], |[xs, ws, gs]| {
            let mut grad_x = unset(n * width);
            let sums = for_rows_summing(
                &mut grad_x,
                width,
                2 * width,
                #[inline(always)]
                |i, out, sums| {
                    let (x, g) = (&xs[i * width..][..width], &gs[i * width..][..width]);
                    let (mean, scale) = self.statistics(x);
                    let (weight_sums, bias_sums) = sums.split_at_mut(width);
                    for (((out, x), g), ((w, weight_sum), bias_sum)) in
                        out.iter_mut().zip(x).zip(g).zip(ws.iter().zip(weight_sums).zip(bias_sums))
                    {
                        *weight_sum += g * (x - mean) * scale;
                        *bias_sum += g;
                        *out = g * w;
                    }
                    let shift = sum2(out, out, |g, _| g) / width as f32;
                    let pull = sum2(out, x, |g, x| g * (x - mean)) * scale * scale / width as f32;
                    for (out, x) in out.iter_mut().zip(x) {
                        *out = scale * (*out - shift - (x - mean) * pull);
                    }
                },
            );
            Ok((
                Some(buffer::like(grad_x, x)?),
                Some(buffer::like(sums[..width].to_vec(), weight)?),
                Some(buffer::like(sums[width..].to_vec(), bias)?),
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check, random};

    #[track_caller]
    fn check_shape(n: usize, width: usize) {
        let inputs = [random((n, width), 0), random(width, 1), random(width, 2)];
        check(
            &inputs,
            |t| layer_norm(&t[0], &t[1], &t[2], 1e-5),
            |t| composed(&t[0], &t[1], &t[2], 1e-5),
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
