//! 4-bit matrices in main memory.

use std::ops::Range;

use candle_core::{CpuStorage, DType, Layout, Result, Storage, Tensor, bail};

use super::{Nf4Factors, Nf4Parts, VALUES};
use crate::cpu::{Element, dot, for_rows, tensor, with_elements, with_values};

/// What the two codes of a byte stand for: the first is in the upper half.
const PAIRS: [[f32; 2]; 256] = {
    let mut pairs = [[0.0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        pairs[byte] = [VALUES[byte >> 4], VALUES[byte & 15]];
        byte += 1;
    }
    pairs
};

/// Rows of the matrix, (rows, columns), in f32 or bfloat16.
pub(super) fn rows(parts: &Nf4Parts, rows: Range<usize>, dtype: DType) -> Result<Tensor> {
    let width = parts.dims[1];
    let first = rows.start;
    let shape = (rows.len(), width);
    let mut values = vec![0.0f32; rows.len() * width];
    with_matrix(parts, |matrix| {
        for_rows(
            &mut values,
            width,
            #[inline(always)]
            |i, row| matrix.read((first + i) * width, row),
        );
        Ok(())
    })?;
    tensor(values, shape, dtype)
}

/// `x · Wᵀ` for few rows x (N, columns) and some rows of W, (N · rows) in f32: the matrix is never whole in memory.
pub(crate) fn few_rows<T: Element>(
    x: &Tensor,
    parts: &Nf4Parts,
    rows: Range<usize>,
) -> Result<Vec<f32>> {
    let (n, width) = x.dims2()?;
    let n_outputs = rows.len();
    let mut columns = vec![0.0f32; n_outputs * n];
    with_elements([x], |[x]: [&[T]; 1]| {
        with_matrix(parts, |matrix| {
            for_rows(
                &mut columns,
                n,
                #[inline(always)]
                |i, column| {
                    let mut row = vec![0.0f32; width];
                    let mut narrow = Vec::new();
                    matrix.read((rows.start + i) * width, &mut row);
                    let row = T::of(&row, &mut narrow);
                    for (sum, x) in column.iter_mut().zip(x.chunks_exact(width)) {
                        *sum = dot(row, x);
                    }
                },
            );
            Ok(())
        })
    })?;
    let mut y = vec![0.0f32; n * n_outputs];
    for (i, column) in columns.chunks_exact(n).enumerate() {
        for (row, value) in y.chunks_exact_mut(n_outputs).zip(column) {
            row[i] = *value;
        }
    }
    Ok(y)
}

/// The values of a matrix where they lie.
struct Matrix<'a> {
    codes: &'a [u8],
    block: usize,
    factors: Factors<'a>,
}

enum Factors<'a> {
    Plain(&'a [f32]),
    Quantized { codes: &'a [u8], map: &'a [f32], scales: &'a [f32], block: usize, offset: f32 },
}

fn with_matrix<R>(parts: &Nf4Parts, f: impl FnOnce(&Matrix) -> Result<R>) -> Result<R> {
    let block = parts.block;
    with_bytes(&parts.codes, |codes| match &parts.factors {
        Nf4Factors::Plain(factors) => with_values([factors], |[factors]| {
            f(&Matrix { codes, block, factors: Factors::Plain(factors) })
        }),
        Nf4Factors::Quantized { codes: of, map, scales, block: of_factors, offset } => {
            with_bytes(of, |of| {
                with_values([map, scales], |[map, scales]| {
                    let (offset, of_factors) = (*offset, *of_factors);
                    let factors =
                        Factors::Quantized { codes: of, map, scales, block: of_factors, offset };
                    f(&Matrix { codes, block, factors })
                })
            })
        }
    })
}

/// Calls `f` with the values of a contiguous tensor of bytes.
fn with_bytes<R>(tensor: &Tensor, f: impl FnOnce(&[u8]) -> Result<R>) -> Result<R> {
    let (storage, layout) = tensor.storage_and_layout();
    match (&*storage, Layout::contiguous_offsets(layout)) {
        (Storage::Cpu(CpuStorage::U8(bytes)), Some((start, end))) => f(&bytes[start..end]),
        _ => bail!("nf4: codes should be bytes in main memory, one after the other"),
    }
}

impl Matrix<'_> {
    /// The values from the `start`-th on.
    #[inline(always)]
    fn read(&self, start: usize, mut out: &mut [f32]) {
        let mut at = start;
        while !out.is_empty() {
            let block = at / self.block;
            let n = ((block + 1) * self.block - at).min(out.len());
            let (part, rest) = out.split_at_mut(n);
            self.read_part(at, self.factor(block), part);
            at += n;
            out = rest;
        }
    }

    /// Values of one block. A row of odd length starts in the middle of a byte.
    #[inline(always)]
    fn read_part(&self, at: usize, factor: f32, mut part: &mut [f32]) {
        let mut codes = &self.codes[at / 2..];
        if !at.is_multiple_of(2) {
            let Some((first, rest)) = part.split_first_mut() else { return };
            *first = VALUES[usize::from(codes[0] & 15)] * factor;
            (part, codes) = (rest, &codes[1..]);
        }
        let n_pairs = part.len() / 2;
        let mut pairs = part.chunks_exact_mut(2);
        for (pair, byte) in pairs.by_ref().zip(codes) {
            let [first, second] = PAIRS[usize::from(*byte)];
            pair[0] = first * factor;
            pair[1] = second * factor;
        }
        if let [last] = pairs.into_remainder() {
            *last = VALUES[usize::from(codes[n_pairs] >> 4)] * factor;
        }
    }

    #[inline(always)]
    fn factor(&self, block: usize) -> f32 {
        match &self.factors {
            Factors::Plain(factors) => factors[block],
            Factors::Quantized { codes, map, scales, block: of_factors, offset } => {
                map[usize::from(codes[block])] * scales[block / of_factors] + offset
            }
        }
    }
}
