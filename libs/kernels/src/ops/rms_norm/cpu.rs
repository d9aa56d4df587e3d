//! Fused, in main memory.

use candle_core::{Result, Tensor};

use crate::cpu::{dot, like, make_rows, make_rows_summing, with_values};

pub(super) fn forward(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    let (n, width) = x.dims2()?;
    let values = with_values([x, weight], |[x, weight]| {
        Ok(make_rows(
            n,
            width,
            #[inline(always)]
            |i, y| {
                let x = &x[i * width..][..width];
                let scale = inverse_rms(x, eps as f32);
                y.write(x.iter().zip(weight).map(|(x, w)| x * scale * w))
            },
        ))
    })?;
    like(values, x)
}

/// Gradients of x and weight.
pub(super) fn backward(
    x: &Tensor,
    weight: &Tensor,
    gradient: &Tensor,
    eps: f64,
) -> Result<[Tensor; 2]> {
    let (n, width) = x.dims2()?;
    let (of_x, of_weight) = with_values([x, weight, gradient], |[xs, ws, gs]| {
        Ok(make_rows_summing(
            n,
            width,
            width,
            #[inline(always)]
            |i, out, sums| {
                let x = &xs[i * width..][..width];
                let g = &gs[i * width..][..width];
                let scale = inverse_rms(x, eps as f32);
                let values = x.iter().zip(g).zip(ws.iter().zip(sums)).map(
                    #[inline(always)]
                    |((x, g), (w, sum))| {
                        *sum += g * x * scale;
                        g * w
                    },
                );
                let mut written = out.write(values);
                let out = written.values();
                let pull = dot(out, x) * scale * scale / width as f32;
                for (out, x) in out.iter_mut().zip(x) {
                    *out = scale * (*out - x * pull);
                }
                written
            },
        ))
    })?;
    Ok([like(of_x, x)?, Tensor::from_vec(of_weight, width, x.device())?])
}

#[inline(always)]
fn inverse_rms(row: &[f32], eps: f32) -> f32 {
    1.0 / (dot(row, row) / row.len() as f32 + eps).sqrt()
}
