//! Products of a few rows with a large matrix, as in decoding: the matrix is read once, where it lies.
#![expect(unsafe_code, reason = "vector instructions and raw pointers")]

use std::arch::x86_64::*;

use rayon::prelude::*;

use super::blocked::Product;
use super::microkernel::as_bf16;

/// Rows of the left operand from which packing pays.
pub(super) const MAX_ROWS: usize = 32;
/// Rows of the left operand at a time.
const ROWS: usize = 8;
/// Columns at a time: with 8 rows they fill the registers.
const COLS: usize = 3;
/// Columns of one task.
const TASK_COLS: usize = 32 * COLS;

/// Whether the product is of this kind: few rows, both operands contiguous along the inner dimension.
pub(super) fn fits(product: &Product) -> bool {
    let lies_in_lanes = !product.bf16 || product.left.row_stride.is_multiple_of(2);
    let contiguous = product.left.col_stride == 1 && product.right.row_stride == 1;
    product.rows <= MAX_ROWS && contiguous && lies_in_lanes
}

/// As [`Product::run`], for a product that [`fits`].
///
/// # Safety
/// As for [`Product::run`].
pub(super) unsafe fn run(product: &Product, parallel: bool) {
    let task = |idx: usize| {
        let end = product.cols.min((idx + 1) * TASK_COLS);
        for first in (idx * TASK_COLS..end).step_by(COLS) {
            for row in (0..product.rows).step_by(ROWS) {
                // SAFETY: the caller's.
                unsafe { tile(product, row, first, COLS.min(end - first)) }
            }
        }
    };
    let n_tasks = product.cols.div_ceil(TASK_COLS);
    match parallel {
        true => (0..n_tasks).into_par_iter().for_each(task),
        false => (0..n_tasks).for_each(task),
    }
}

unsafe fn tile(product: &Product, row: usize, col: usize, cols: usize) {
    macro_rules! choose {
        ($name:ident: $($m:literal)*) => {
            match (ROWS.min(product.rows - row), cols) {
                $(($m, 1) => $name::<$m, 1>(product, row, col),
                  ($m, 2) => $name::<$m, 2>(product, row, col),
                  ($m, _) => $name::<$m, COLS>(product, row, col),)*
                _ => {}
            }
        };
    }
    // SAFETY: the caller's.
    unsafe {
        match product.bf16 {
            false => choose!(dots_f32: 1 2 3 4 5 6 7 8),
            true => choose!(dots_bf16: 1 2 3 4 5 6 7 8),
        }
    }
}

macro_rules! dots {
    ($name:ident, $features:literal, $lanes_of:expr, $multiply_add:expr) => {
        /// `M` rows times `C` columns.
        #[target_feature(enable = $features)]
        unsafe fn $name<const M: usize, const C: usize>(product: &Product, row: usize, col: usize) {
            // SAFETY: see `run`; lanes past the inner dimension are masked.
            unsafe {
                let inner = $lanes_of(product.inner);
                let left_stride = $lanes_of(product.left.row_stride);
                let right_stride = $lanes_of(product.right.col_stride);
                let left = product.left.data.cast::<f32>().add(row * left_stride);
                let right = product.right.data.cast::<f32>().add(col * right_stride);
                let mut sums = [[_mm512_setzero_ps(); C]; M];
                for p in (0..inner).step_by(16) {
                    let mask = super::microkernel::mask(inner - p);
                    let mut b = [_mm512_setzero_ps(); C];
                    for (c, b) in b.iter_mut().enumerate() {
                        let place = right.wrapping_add(c * right_stride + p);
                        *b = _mm512_maskz_loadu_ps(mask, place);
                        // The columns that come next: too far for the processor to guess.
                        let next = place.wrapping_add(C * right_stride);
                        _mm_prefetch::<_MM_HINT_T0>(next.cast());
                    }
                    for (i, sums) in sums.iter_mut().enumerate() {
                        let a = _mm512_maskz_loadu_ps(mask, left.add(i * left_stride + p));
                        for (sum, b) in sums.iter_mut().zip(b) {
                            *sum = $multiply_add(*sum, a, b);
                        }
                    }
                }
                for (i, sums) in sums.iter().enumerate() {
                    for (c, sum) in sums.iter().enumerate() {
                        let value = _mm512_reduce_add_ps(*sum) * product.scale;
                        let place = product.out.add((row + i) * product.out_stride + col + c);
                        *place = if product.add { *place + value } else { value };
                    }
                }
            }
        }
    };
}

dots!(dots_f32, "avx512f", |n: usize| n, |sum, a, b| _mm512_fmadd_ps(a, b, sum));
dots!(dots_bf16, "avx512f,avx512bf16", |n: usize| n / 2, |sum, a, b| {
    _mm512_dpbf16_ps(sum, as_bf16(a), as_bf16(b))
});
