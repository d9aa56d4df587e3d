//! Plain f32 slices out of tensors, and loops over their rows.
//!
//! Between operations a tensor may be bfloat16; inside one everything is f32.

use std::borrow::Cow;

use candle_core::{CpuStorage, DType, Layout, Result, Shape, Storage, Tensor, bail};
use half::bf16;
use rayon::prelude::*;

use crate::element::Element;
use crate::path::is_fused;
use crate::simd::vectorized;

/// Below this many values a loop is done before a second thread would have woken up.
const PARALLEL_FROM: usize = 32 * 1024;
/// Rows per task. Fixed, because sums over rows are taken block by block.
const ROWS_PER_BLOCK: usize = 32;
/// Values per task of a conversion.
const CHUNK: usize = 1 << 14;

/// Whether the fused CPU path can take these tensors.
pub(crate) fn fused(tensors: &[&Tensor]) -> bool {
    let fits = |t: &&Tensor| is_fused(t.device()) && matches!(t.dtype(), DType::F32 | DType::BF16);
    tensors.iter().all(fits)
}

/// The values of a contiguous storage, in f32.
pub(crate) fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<Cow<'a, [f32]>> {
    let Some((start, end)) = layout.contiguous_offsets() else {
        bail!("a fused operation needs contiguous rows, got strides {:?}", layout.stride())
    };
    match storage {
        CpuStorage::F32(values) => Ok(Cow::Borrowed(&values[start..end])),
        CpuStorage::BF16(values) => Ok(Cow::Owned(widen(&values[start..end]))),
        other => bail!("a fused operation needs f32 or bf16, got {:?}", dtype_of(other)),
    }
}

fn dtype_of(storage: &CpuStorage) -> DType {
    candle_core::backend::BackendStorage::dtype(storage)
}

/// Calls `f` with the values of contiguous tensors that live on the CPU, in f32.
pub(crate) fn with_values<const K: usize, R>(
    tensors: [&Tensor; K],
    f: impl FnOnce([&[f32]; K]) -> Result<R>,
) -> Result<R> {
    with_elements(tensors, f)
}

/// As [`with_values`], in either type.
pub(crate) fn with_elements<T: Element, const K: usize, R>(
    tensors: [&Tensor; K],
    f: impl FnOnce([&[T]; K]) -> Result<R>,
) -> Result<R> {
    let guards = tensors.map(|t| t.storage_and_layout());
    let mut converted: [Cow<[T]>; K] = [const { Cow::Borrowed(&[]) }; K];
    for (values, (storage, layout)) in converted.iter_mut().zip(&guards) {
        let Storage::Cpu(storage) = &**storage else { bail!("a fused operation needs the CPU") };
        *values = T::values(storage, layout)?;
    }
    f(converted.each_ref().map(|values| &**values))
}

/// A result of a custom operation, stored as `dtype`.
pub(crate) fn output(
    values: Vec<f32>,
    shape: impl Into<Shape>,
    dtype: DType,
) -> (CpuStorage, Shape) {
    let storage = match dtype {
        DType::BF16 => CpuStorage::BF16(narrow(&values)),
        _ => CpuStorage::F32(values),
    };
    (storage, shape.into())
}

/// A tensor of these values with the shape and type of another.
pub(crate) fn like(values: Vec<f32>, other: &Tensor) -> Result<Tensor> {
    tensor(values, other.shape(), other.dtype())
}

/// A tensor on the CPU of these values, stored as `dtype`.
pub(crate) fn tensor(values: Vec<f32>, shape: impl Into<Shape>, dtype: DType) -> Result<Tensor> {
    let shape = shape.into();
    match dtype {
        DType::BF16 => Tensor::from_vec(narrow(&values), shape, &candle_core::Device::Cpu),
        _ => Tensor::from_vec(values, shape, &candle_core::Device::Cpu),
    }
}

/// Room for `n` values that are all written before any is read: nothing is spent on zeros.
#[expect(unsafe_code, clippy::uninit_vec, reason = "zeros cost as much as the operation's result")]
pub(crate) fn unset<T: Element>(n: usize) -> Vec<T> {
    let mut values = Vec::with_capacity(n);
    // SAFETY: the capacity is there and every bit pattern is a float; callers write each value first.
    unsafe { values.set_len(n) };
    values
}

/// bfloat16 to f32.
pub(crate) fn widen(values: &[bf16]) -> Vec<f32> {
    let mut wide = unset(values.len());
    let chunks = wide.par_chunks_mut(CHUNK).zip(values.par_chunks(CHUNK));
    chunks.for_each(|(to, from)| {
        vectorized(
            #[inline(always)]
            || {
                for (to, x) in to.iter_mut().zip(from) {
                    *to = x.widened();
                }
            },
        )
    });
    wide
}

/// f32 to bfloat16, to the nearest.
pub(crate) fn narrow(values: &[f32]) -> Vec<bf16> {
    let mut short = unset(values.len());
    let chunks = short.par_chunks_mut(CHUNK).zip(values.par_chunks(CHUNK));
    chunks.for_each(|(to, from)| round(from, to));
    short
}

/// As [`narrow`], on this thread and into a buffer that is there.
pub(crate) fn narrow_into(values: &[f32], short: &mut Vec<bf16>) {
    short.resize(values.len(), bf16::ZERO);
    round(values, short);
}

fn round(values: &[f32], short: &mut [bf16]) {
    vectorized(
        #[inline(always)]
        || {
            for (to, x) in short.iter_mut().zip(values) {
                let bits = x.to_bits();
                let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
                let kept = if x.is_nan() { (bits >> 16) | 0x40 } else { rounded };
                *to = bf16::from_bits(kept as u16);
            }
        },
    )
}

/// Rows and width of a 2-D layout.
pub(crate) fn dims2(layout: &Layout) -> Result<(usize, usize)> {
    layout.shape().dims2()
}

/// Calls `f(row_idx, row)` for every row of `out`, with the widest vector instructions that are there. They reach
/// as far as inlining does: `f` is a closure that is always inlined.
pub(crate) fn for_rows(out: &mut [f32], width: usize, f: impl Fn(usize, &mut [f32]) + Sync) {
    if out.is_empty() {
        return;
    }
    let block = |(block_idx, rows): (usize, &mut [f32])| {
        vectorized(
            #[inline(always)]
            || {
                for (i, row) in rows.chunks_exact_mut(width).enumerate() {
                    f(block_idx * ROWS_PER_BLOCK + i, row);
                }
            },
        )
    };
    let block_len = width * ROWS_PER_BLOCK;
    if out.len() < PARALLEL_FROM {
        out.chunks_mut(block_len).enumerate().for_each(block);
    } else {
        out.par_chunks_mut(block_len).enumerate().for_each(block);
    }
}

/// As [`for_rows`], of two matrices of the same rows and width.
pub(crate) fn for_row_pairs(
    [first, second]: [&mut [f32]; 2],
    width: usize,
    f: impl Fn(usize, [&mut [f32]; 2]) + Sync,
) {
    let block_len = (width * ROWS_PER_BLOCK).max(1);
    let parallel = first.len() >= PARALLEL_FROM;
    let blocks = first.par_chunks_mut(block_len).zip(second.par_chunks_mut(block_len)).enumerate();
    let blocks = blocks.with_min_len(if parallel { 1 } else { usize::MAX });
    blocks.for_each(|(block_idx, (first, second))| {
        vectorized(
            #[inline(always)]
            || {
                let rows = first.chunks_exact_mut(width).zip(second.chunks_exact_mut(width));
                for (i, (first, second)) in rows.enumerate() {
                    f(block_idx * ROWS_PER_BLOCK + i, [first, second]);
                }
            },
        )
    });
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
        vectorized(
            #[inline(always)]
            || {
                for (i, row) in rows.chunks_exact_mut(width).enumerate() {
                    f(block_idx * ROWS_PER_BLOCK + i, row, &mut sums);
                }
            },
        );
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

/// Sum of the rows of a matrix, block by block.
pub(crate) fn sum_rows(values: &[f32], width: usize) -> Vec<f32> {
    let blocks = values.par_chunks((width * ROWS_PER_BLOCK).max(1));
    let partial: Vec<Vec<f32>> = blocks
        .map(|rows| {
            let mut sums = vec![0.0; width];
            vectorized(
                #[inline(always)]
                || {
                    for row in rows.chunks_exact(width) {
                        add(&mut sums, row);
                    }
                },
            );
            sums
        })
        .collect();
    let mut sums = vec![0.0; width];
    for part in partial {
        add(&mut sums, &part);
    }
    sums
}

/// `a += b` over all cores.
pub(crate) fn add_all(a: &mut [f32], b: &[f32]) {
    a.par_chunks_mut(CHUNK).zip(b.par_chunks(CHUNK)).for_each(|(a, b)| {
        vectorized(
            #[inline(always)]
            || add(a, b),
        )
    });
}

/// `a += b`.
#[inline(always)]
pub(crate) fn add(a: &mut [f32], b: &[f32]) {
    for (a, b) in a.iter_mut().zip(b) {
        *a += b;
    }
}

/// `a += scale * b`.
#[inline(always)]
pub(crate) fn add_scaled<T: Element>(a: &mut [f32], scale: f32, b: &[T]) {
    for (a, b) in a.iter_mut().zip(b) {
        *a += scale * b.widened();
    }
}

/// Partial results that are kept side by side.
pub(crate) const LANES: usize = 32;

/// All lanes as one, by halves: one after the other they would each wait for the one before.
#[inline(always)]
pub(crate) fn fold_lanes(mut lanes: [f32; LANES], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            lanes[i] = f(lanes[i], lanes[i + half]);
        }
        half /= 2;
    }
    lanes[0]
}

/// Sum of `f(a, b)` over both slices, in lanes so that it vectorizes.
#[inline(always)]
pub(crate) fn sum2<T: Copy>(a: &[T], b: &[T], f: impl Fn(T, T) -> f32) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f32 =
        a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(a, b)| f(*a, *b)).sum();
    for (a, b) in a_chunks.zip(b_chunks) {
        for i in 0..LANES {
            lanes[i] += f(a[i], b[i]);
        }
    }
    fold_lanes(lanes, |a, b| a + b) + rest
}

/// Scalar product.
#[inline(always)]
pub(crate) fn dot<T: Element>(a: &[T], b: &[T]) -> f32 {
    sum2(a, b, |a, b| a.widened() * b.widened())
}
