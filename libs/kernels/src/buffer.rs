//! Plain f32 slices out of tensors, and loops over their rows.

use candle_core::{CpuStorage, DType, Layout, Result, Shape, Storage, Tensor, bail};
use rayon::prelude::*;

/// Below this many values a loop is done before a second thread would have woken up.
const PARALLEL_FROM: usize = 32 * 1024;
/// Rows per task. Fixed, because sums over rows are taken block by block.
const ROWS_PER_BLOCK: usize = 32;

/// Whether the fused CPU path can take these tensors.
pub(crate) fn fused(tensors: &[&Tensor]) -> bool {
    tensors.iter().all(|t| t.device().is_cpu() && t.dtype() == DType::F32)
}

/// The values of a contiguous f32 storage.
pub(crate) fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => bail!("a fused operation needs contiguous rows, got strides {:?}", layout.stride()),
    }
}

/// Calls `f` with the values of contiguous f32 tensors that live on the CPU.
pub(crate) fn with_values<const K: usize, R>(
    tensors: [&Tensor; K],
    f: impl FnOnce([&[f32]; K]) -> Result<R>,
) -> Result<R> {
    let guards = tensors.map(|t| t.storage_and_layout());
    let mut slices: [&[f32]; K] = [&[]; K];
    for (slice, (storage, layout)) in slices.iter_mut().zip(&guards) {
        let Storage::Cpu(storage) = &**storage else { bail!("a fused operation needs the CPU") };
        *slice = values(storage, layout)?;
    }
    f(slices)
}

/// A result of a custom operation.
pub(crate) fn output(values: Vec<f32>, shape: impl Into<Shape>) -> (CpuStorage, Shape) {
    (CpuStorage::F32(values), shape.into())
}

/// Rows and width of a 2-D layout.
pub(crate) fn dims2(layout: &Layout) -> Result<(usize, usize)> {
    layout.shape().dims2()
}

/// Calls `f(row_idx, row)` for every row of `out`.
pub(crate) fn for_rows(out: &mut [f32], width: usize, f: impl Fn(usize, &mut [f32]) + Sync) {
    if out.is_empty() {
        return;
    }
    let block = |(block_idx, rows): (usize, &mut [f32])| {
        for (i, row) in rows.chunks_exact_mut(width).enumerate() {
            f(block_idx * ROWS_PER_BLOCK + i, row);
        }
    };
    let block_len = width * ROWS_PER_BLOCK;
    if out.len() < PARALLEL_FROM {
        out.chunks_mut(block_len).enumerate().for_each(block);
    } else {
        out.par_chunks_mut(block_len).enumerate().for_each(block);
    }
}

/// As [`for_rows`], and sums what `f(row_idx, row, sums)` adds to `sums`, block by block.
pub(crate) fn for_rows_summing(
    out: &mut [f32],
    width: usize,
    n_sums: usize,
    f: impl Fn(usize, &mut [f32], &mut [f32]) + Sync,
) -> Vec<f32> {
    let block = |(block_idx, rows): (usize, &mut [f32])| {
        let mut sums = vec![0.0; n_sums];
        for (i, row) in rows.chunks_exact_mut(width).enumerate() {
            f(block_idx * ROWS_PER_BLOCK + i, row, &mut sums);
        }
        sums
    };
    let block_len = width * ROWS_PER_BLOCK;
    let partial: Vec<Vec<f32>> = if out.len() < PARALLEL_FROM {
        out.chunks_mut(block_len).enumerate().map(block).collect()
    } else {
        out.par_chunks_mut(block_len).enumerate().map(block).collect()
    };
    let mut sums = vec![0.0; n_sums];
    for part in partial {
        add(&mut sums, &part);
    }
    sums
}

/// `a += b`.
pub(crate) fn add(a: &mut [f32], b: &[f32]) {
    for (a, b) in a.iter_mut().zip(b) {
        *a += b;
    }
}

/// `a += scale * b`.
pub(crate) fn add_scaled(a: &mut [f32], scale: f32, b: &[f32]) {
    for (a, b) in a.iter_mut().zip(b) {
        *a += scale * b;
    }
}

/// Sum of `f(a, b)` over both slices, in eight lanes so that it vectorizes.
#[inline(always)]
pub(crate) fn sum2(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    const LANES: usize = 8;
    let mut lanes = [0.0f32; LANES];
    let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f32 =
        a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(a, b)| f(*a, *b)).sum();
    for (a, b) in a_chunks.zip(b_chunks) {
        for i in 0..LANES {
            lanes[i] += f(a[i], b[i]);
        }
    }
    lanes.iter().sum::<f32>() + rest
}

/// Scalar product.
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    sum2(a, b, |a, b| a * b)
}
