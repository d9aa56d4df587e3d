//! Products of a few rows with a large matrix, as in decoding: the matrix is read once, where it lies.
#![expect(unsafe_code, reason = "vector instructions and raw pointers")]

use std::arch::x86_64::*;

use rayon::prelude::*;

use super::FEW_ROWS;
use super::blocked::Product;
use super::microkernel::as_bf16;

/// Rows of the left operand at a time.
const ROWS: usize = 8;
/// Columns at a time: with 8 rows they fill the registers.
const COLS: usize = 3;
/// Columns of one task, at most.
const TASK_COLS: usize = 32 * COLS;
/// Values of a register, and results that are summed up together.
const LANES: usize = 16;

/// Whether the product is of this kind: few rows, both operands contiguous along the inner dimension.
pub(super) fn fits(product: &Product) -> bool {
    let lies_in_lanes = !product.bf16 || product.left.row_stride.is_multiple_of(2);
    let contiguous = product.left.col_stride == 1 && product.right.row_stride == 1;
    // Each result ends in a sum over lanes, which has to be worth it.
    let is_long = product.inner >= 4 * product.rows || product.rows <= FEW_ROWS / 2;
    product.rows <= FEW_ROWS && is_long && contiguous && lies_in_lanes
}

/// As [`Product::run`] of each of these products, all of which [`fits`].
///
/// # Safety
/// As for [`Product::run`]; no output overlaps another.
pub(super) unsafe fn run(products: &[Product], parallel: bool) {
    let n_threads = if parallel { rayon::current_num_threads() } else { 1 };
    let tasks = products.iter().flat_map(|product| {
        let share = share(product.cols, n_threads);
        (0..product.cols).step_by(share).map(move |first| (product, first, share))
    });
    let task = |(product, first, share): (&Product, usize, usize)| {
        let end = product.cols.min(first + share);
        for col in (first..end).step_by(COLS) {
            for row in (0..product.rows).step_by(ROWS) {
                // SAFETY: the caller's.
                unsafe { tile(product, row, col, COLS.min(end - col)) }
            }
        }
    };
    if parallel {
        tasks.collect::<Vec<_>>().into_par_iter().for_each(task);
    } else {
        tasks.for_each(task);
    }
}

/// Columns of a task, such that every thread has as many tasks as the others, of one size.
fn share(cols: usize, n_threads: usize) -> usize {
    let n_tasks = cols.div_ceil(TASK_COLS).next_multiple_of(n_threads);
    cols.div_ceil(n_tasks).next_multiple_of(COLS)
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
        if product.bf16 {
            choose!(dots_bf16: 1 2 3 4 5 6 7 8)
        } else {
            choose!(dots_f32: 1 2 3 4 5 6 7 8)
        }
    }
}

/// Sixteen of the sums, columns first; named one by one, since an array indexed at run time leaves its registers.
macro_rules! sums_at {
    ($sums:ident, $m:ident, $c:ident: $($i:literal)*) => {
        [$(if $i < $m * $c { $sums[$i / $m][$i % $m] } else { _mm512_setzero_ps() }),*]
    };
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
                let mut sums = [[_mm512_setzero_ps(); M]; C];
                for p in (0..inner).step_by(LANES) {
                    let mask = super::microkernel::mask(inner - p);
                    let mut b = [_mm512_setzero_ps(); C];
                    for (c, b) in b.iter_mut().enumerate() {
                        let place = right.wrapping_add(c * right_stride + p);
                        *b = _mm512_maskz_loadu_ps(mask, place);
                        // The columns after the next: too far for the processor to guess, and into the second
                        // cache, since the first has too few lines on their way at a time.
                        let ahead = place.wrapping_add(2 * C * right_stride);
                        _mm_prefetch::<_MM_HINT_T1>(ahead.cast());
                    }
                    for i in 0..M {
                        let a = _mm512_maskz_loadu_ps(mask, left.add(i * left_stride + p));
                        for (sums, b) in sums.iter_mut().zip(b) {
                            sums[i] = $multiply_add(sums[i], a, b);
                        }
                    }
                }
                let mut totals = [0.0f32; 2 * LANES];
                let first = totals_of(&sums_at!(sums, M, C: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15));
                _mm512_storeu_ps(totals.as_mut_ptr(), first);
                if M * C > LANES {
                    let rest = totals_of(&sums_at!(sums, M, C: 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31));
                    _mm512_storeu_ps(totals[LANES..].as_mut_ptr(), rest);
                }
                for (place, total) in totals[..M * C].iter().enumerate() {
                    let (c, i) = (place / M, place % M);
                    let value = total * product.scale;
                    let place = product.out.add((row + i) * product.out_stride + col + c);
                    *place = if product.add { *place + value } else { value };
                }
            }
        }
    };
}

/// The sums of sixteen vectors as one vector: four rounds in which pairs are interleaved and added.
#[target_feature(enable = "avx512f")]
fn totals_of(vectors: &[__m512; LANES]) -> __m512 {
    let mut pairs = [_mm512_setzero_ps(); 8];
    for (pair, v) in pairs.iter_mut().zip(vectors.chunks_exact(2)) {
        *pair = _mm512_add_ps(_mm512_unpacklo_ps(v[0], v[1]), _mm512_unpackhi_ps(v[0], v[1]));
    }
    let mut fours = [_mm512_setzero_ps(); 4];
    for (four, v) in fours.iter_mut().zip(pairs.chunks_exact(2)) {
        let (a, b) = (_mm512_castps_pd(v[0]), _mm512_castps_pd(v[1]));
        let (low, high) = (_mm512_unpacklo_pd(a, b), _mm512_unpackhi_pd(a, b));
        *four = _mm512_add_ps(_mm512_castpd_ps(low), _mm512_castpd_ps(high));
    }
    let fold = |a, b| {
        const EVEN: i32 = 0b10_00_10_00;
        const ODD: i32 = 0b11_01_11_01;
        _mm512_add_ps(_mm512_shuffle_f32x4::<EVEN>(a, b), _mm512_shuffle_f32x4::<ODD>(a, b))
    };
    fold(fold(fours[0], fours[1]), fold(fours[2], fours[3]))
}

dots!(dots_f32, "avx512f", |n: usize| n, |sum, a, b| _mm512_fmadd_ps(a, b, sum));
dots!(dots_bf16, "avx512f,avx512bf16", |n: usize| n / 2, |sum, a, b| {
    _mm512_dpbf16_ps(sum, as_bf16(a), as_bf16(b))
});
