//! Loops over the rows of a matrix in main memory, over all cores and with the widest vector instructions.
//!
//! Rows are handed out in blocks of fixed size, and what is summed over rows is summed block by block: the result is
//! the same for any number of threads.

use rayon::prelude::*;

use crate::cpu::CHUNK;
use crate::cpu::simd::vectorized;

/// Below this many values a loop is done before a second thread would have woken up.
const PARALLEL_FROM: usize = 32 * 1024;
/// Rows per task. Fixed, because sums over rows are taken block by block.
const ROWS_PER_BLOCK: usize = 32;

/// Calls `f(row_idx, row)` for every row of `out`. Vector instructions reach as far as inlining does: `f` is a closure
/// that is always inlined.
pub(crate) fn for_rows<T: Send>(out: &mut [T], width: usize, f: impl Fn(usize, &mut [T]) + Sync) {
    if out.is_empty() {
        return;
    }
    let block = |(block_idx, rows): (usize, &mut [T])| {
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
pub(crate) fn for_row_pairs<T: Send>(
    [first, second]: [&mut [T]; 2],
    width: usize,
    f: impl Fn(usize, [&mut [T]; 2]) + Sync,
) {
    if width == 0 {
        return;
    }
    let block_len = width * ROWS_PER_BLOCK;
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
pub(crate) fn for_rows_summing<T: Send>(
    out: &mut [T],
    width: usize,
    n_sums: usize,
    f: impl Fn(usize, &mut [T], &mut [f32]) + Sync,
) -> Vec<f32> {
    let mut sums = vec![0.0; n_sums];
    if out.is_empty() {
        return sums;
    }
    let block = |(block_idx, rows): (usize, &mut [T])| {
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
    for part in partial {
        add_to(&mut sums, &part);
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
                        add_to(&mut sums, row);
                    }
                },
            );
            sums
        })
        .collect();
    let mut sums = vec![0.0; width];
    for part in partial {
        add_to(&mut sums, &part);
    }
    sums
}

/// `a += b` over all cores.
pub(crate) fn add_all(a: &mut [f32], b: &[f32]) {
    a.par_chunks_mut(CHUNK).zip(b.par_chunks(CHUNK)).for_each(|(a, b)| {
        vectorized(
            #[inline(always)]
            || add_to(a, b),
        )
    });
}

/// Adds `b` to `a`, value by value.
#[inline(always)]
pub(crate) fn add_to(a: &mut [f32], b: &[f32]) {
    for (a, b) in a.iter_mut().zip(b) {
        *a += b;
    }
}
