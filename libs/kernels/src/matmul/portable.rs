//! Products for processors without AVX-512: the gemm crate.

use std::mem::MaybeUninit;

use gemm::Parallelism;
use rayon::prelude::*;

use super::{Mat, MatMut, Write};

/// Rows are handed out in multiples of this: the height of the largest microkernel.
const ROWS_PER_TASK: usize = 48;

/// `out = scale · lhs · rhs`, or `out += …`, on all threads if `parallel`.
pub(super) fn run(out: MatMut, write: Write, scale: f32, lhs: Mat, rhs: Mat, parallel: bool) {
    let n_threads = rayon::current_num_threads();
    if !parallel {
        return serial(out, write, scale, lhs, rhs, Parallelism::None);
    }
    if out.rows < n_threads * ROWS_PER_TASK {
        return serial(out, write, scale, lhs, rhs, Parallelism::Rayon(0));
    }
    let rows = out.rows.div_ceil(n_threads).next_multiple_of(ROWS_PER_TASK);
    let (cols, stride) = (out.cols, out.row_stride);
    out.data.par_chunks_mut(rows * stride).enumerate().for_each(|(i, part)| {
        let lhs = lhs.rows(i * rows, rows);
        let part = MatMut::of_places(part, lhs.rows, cols, stride);
        serial(part, write, scale, lhs, rhs, Parallelism::None);
    });
}

fn serial(mut out: MatMut, write: Write, scale: f32, lhs: Mat, rhs: Mat, parallelism: Parallelism) {
    if out.rows == 1 {
        return single(out, write, scale, lhs, rhs, parallelism);
    }
    // SAFETY: the constructors check that every view lies inside its slice and that the rows of the output
    // do not overlap; `out` is borrowed exclusively, so it aliases neither operand; the caller compared the
    // shapes.
    #[expect(unsafe_code, reason = "the gemm crate takes raw pointers")]
    unsafe {
        gemm::gemm(
            out.rows,
            out.cols,
            lhs.cols,
            out.start(),
            1,
            out.row_stride as isize,
            write == Write::Add,
            lhs.data.as_ptr(),
            lhs.col_stride as isize,
            lhs.row_stride as isize,
            rhs.data.as_ptr(),
            rhs.col_stride as isize,
            rhs.row_stride as isize,
            1.0,
            scale,
            false,
            false,
            false,
            parallelism,
        );
    }
}

/// A single row, computed twice: alone the gemm crate would sum it in another order than beside others.
fn single(out: MatMut, write: Write, scale: f32, lhs: Mat, rhs: Mat, parallelism: Parallelism) {
    let cols = out.cols;
    let mut both = vec![MaybeUninit::new(0.0); 2 * cols];
    both[..cols].copy_from_slice(&out.data[..cols]);
    let twice = Mat { rows: 2, row_stride: 0, ..lhs };
    // The second row is added to zeros, where it is added at all.
    serial(MatMut::of_places(&mut both, 2, cols, cols), write, scale, twice, rhs, parallelism);
    out.data[..cols].copy_from_slice(&both[..cols]);
}
