//! Fused, in main memory.

use candle_core::{Result, Tensor};

use crate::cpu::{like, make_rows, make_rows_summing, sum2, with_values};

pub(super) fn forward(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    let (n, width) = x.dims2()?;
    let values = with_values([x, weight, bias], |[x, weight, bias]| {
        Ok(make_rows(
            n,
            width,
            #[inline(always)]
            |i, y| {
                let x = &x[i * width..][..width];
                let (mean, scale) = statistics(x, eps as f32);
                let affine = x.iter().zip(weight.iter().zip(bias));
                y.write(affine.map(|(x, (w, b))| (x - mean) * scale * w + b))
            },
        ))
    })?;
    like(values, x)
}

/// Gradients of x, weight and bias.
pub(super) fn backward(
    x: &Tensor,
    weight: &Tensor,
    gradient: &Tensor,
    eps: f64,
) -> Result<[Tensor; 3]> {
    let (n, width) = x.dims2()?;
    let (of_x, sums) = with_values([x, weight, gradient], |[xs, ws, gs]| {
        Ok(make_rows_summing(
            n,
            width,
            2 * width,
            #[inline(always)]
            |i, out, sums| {
                let x = &xs[i * width..][..width];
                let g = &gs[i * width..][..width];
                let (mean, scale) = statistics(x, eps as f32);
                let (of_weight, of_bias) = sums.split_at_mut(width);
                let sums = of_weight.iter_mut().zip(of_bias);
                let values = x.iter().zip(g).zip(ws).zip(sums).map(
                    #[inline(always)]
                    |(((x, g), w), (of_weight, of_bias))| {
                        *of_weight += g * (x - mean) * scale;
                        *of_bias += g;
                        g * w
                    },
                );
                let mut written = out.write(values);
                let out = written.values();
                let shift = sum2(out, out, |g, _| g) / width as f32;
                let pull = sum2(out, x, |g, x| g * (x - mean)) * scale * scale / width as f32;
                for (out, x) in out.iter_mut().zip(x) {
                    *out = scale * (*out - shift - (x - mean) * pull);
                }
                written
            },
        ))
    })?;
    let sum = |sums: &[f32]| Tensor::from_slice(sums, width, x.device());
    Ok([like(of_x, x)?, sum(&sums[..width])?, sum(&sums[width..])?])
}

/// Mean and inverse standard deviation of a row.
#[inline(always)]
fn statistics(row: &[f32], eps: f32) -> (f32, f32) {
    let n = row.len() as f32;
    let mean = sum2(row, row, |x, _| x) / n;
    let variance = sum2(row, row, |x, _| (x - mean) * (x - mean)) / n;
    (mean, 1.0 / (variance + eps).sqrt())
}
