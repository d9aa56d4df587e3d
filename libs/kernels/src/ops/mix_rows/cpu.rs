//! Fused, in main memory.

use candle_core::{DType, Result, Tensor};

use super::Tap;
use crate::cpu::{for_rows, tensor, with_values};
use crate::matmul::Write;

pub(super) fn forward(table: &Tensor, taps: &[Tap], n_taps: usize, dtype: DType) -> Result<Tensor> {
    let (_, width) = table.dims2()?;
    let n = taps.len() / n_taps;
    let mut sum = vec![0.0; n * width];
    with_values([table], |[table]| {
        for_rows(
            &mut sum,
            width,
            #[inline(always)]
            |i, row| {
                for (from, share) in &taps[i * n_taps..][..n_taps] {
                    add_share(row, &table[*from as usize * width..][..width], *share);
                }
            },
        );
        Ok(())
    })?;
    tensor(sum, (n, width), dtype)
}

/// Adds to the gradient of each row of the table what was mixed of it.
pub(super) fn backward(
    gradient: &Tensor,
    taps: &[Tap],
    n_taps: usize,
    sum: &mut [f32],
    write: Write,
) -> Result<()> {
    let (_, width) = gradient.dims2()?;
    if write == Write::Overwrite {
        sum.fill(0.0);
    }
    with_values([gradient], |[gradient]| {
        for (taps, row) in taps.chunks_exact(n_taps).zip(gradient.chunks_exact(width.max(1))) {
            for (to, share) in taps {
                add_share(&mut sum[*to as usize * width..][..width], row, *share);
            }
        }
        Ok(())
    })
}

#[inline(always)]
fn add_share(sum: &mut [f32], row: &[f32], share: f32) {
    for (sum, x) in sum.iter_mut().zip(row) {
        *sum += share * x;
    }
}
