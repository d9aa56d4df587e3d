//! Matrix products over strided views, without copies: the one door to the `gemm` crate.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use gemm::Parallelism;
use rayon::prelude::*;

/// Multiplications from which a second thread is worth waking.
const PARALLEL_FROM: usize = 2 << 20;
/// Rows are handed out in multiples of this: the height of the largest microkernel.
const ROWS_PER_TASK: usize = 48;

/// A matrix in a slice; either stride may be the unit one, so a transpose is free.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mat<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a> Mat<'a> {
    /// Rows one after the other.
    pub(crate) fn new(data: &'a [f32], rows: usize, cols: usize) -> Self {
        Self::strided(data, rows, cols, cols)
    }

    /// Rows of `cols` values that start `row_stride` apart.
    pub(crate) fn strided(data: &'a [f32], rows: usize, cols: usize, row_stride: usize) -> Self {
        assert!(fits(data.len(), rows, cols, row_stride), "matrix outside its slice");
        Self { data, rows, cols, row_stride, col_stride: 1 }
    }

    /// `n` rows from `start`, or those that are left.
    fn rows(self, start: usize, n: usize) -> Self {
        let rows = n.min(self.rows - start);
        Self { data: &self.data[start * self.row_stride..], rows, ..self }
    }

    /// The transposed view.
    pub(crate) fn t(self) -> Self {
        Self {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }
}

/// A matrix that is written to; rows of `cols` values that start `row_stride` apart.
#[derive(Debug)]
pub(crate) struct MatMut<'a> {
    data: &'a mut [f32],
    rows: usize,
    cols: usize,
    row_stride: usize,
}

impl<'a> MatMut<'a> {
    /// Rows one after the other.
    pub(crate) fn new(data: &'a mut [f32], rows: usize, cols: usize) -> Self {
        Self::strided(data, rows, cols, cols)
    }

    /// Rows of `cols` values that start `row_stride` apart.
    pub(crate) fn strided(
        data: &'a mut [f32],
        rows: usize,
        cols: usize,
        row_stride: usize,
    ) -> Self {
        assert!(fits(data.len(), rows, cols, row_stride), "matrix outside its slice");
        assert!(rows <= 1 || row_stride >= cols, "rows of an output overlap");
        Self { data, rows, cols, row_stride }
    }
}

/// What happens to the values that the output already holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Write {
    Overwrite,
    Add,
}

/// Floating-point operations of all products so far.
static FLOPS: AtomicU64 = AtomicU64::new(0);

/// Floating-point operations of all matrix products of this process so far: two per multiplication.
pub fn gemm_flops() -> u64 {
    FLOPS.load(Ordering::Relaxed)
}

/// What computes the products here.
pub fn gemm_backend() -> &'static str {
    "gemm"
}

/// The best rate of a product on this machine, in 10⁹ operations a second: 1024³, repeated.
pub fn measure_gflops() -> f64 {
    const SIDE: usize = 1024;
    const REPEATS: usize = 40;
    let (a, b) = (vec![0.5f32; SIDE * SIDE], vec![0.25f32; SIDE * SIDE]);
    let mut out = vec![0.0; SIDE * SIDE];
    let mut best = f64::INFINITY;
    for _ in 0..REPEATS {
        let start = Instant::now();
        let (a, b) = (Mat::new(&a, SIDE, SIDE), Mat::new(&b, SIDE, SIDE));
        matmul(MatMut::new(&mut out, SIDE, SIDE), Write::Overwrite, 1.0, a, b, true);
        best = best.min(start.elapsed().as_secs_f64());
    }
    2.0 * (SIDE * SIDE * SIDE) as f64 / best / 1e9
}

/// `out = scale · lhs · rhs`, or `out += …`, on all threads if `parallel`.
pub(crate) fn matmul(out: MatMut, write: Write, scale: f32, lhs: Mat, rhs: Mat, parallel: bool) {
    assert_eq!((out.rows, out.cols, lhs.cols), (lhs.rows, rhs.cols, rhs.rows), "matmul shapes");
    let n_threads = rayon::current_num_threads();
    let work = out.rows * out.cols * lhs.cols;
    FLOPS.fetch_add(2 * work as u64, Ordering::Relaxed);
    if !parallel || n_threads == 1 || work < PARALLEL_FROM {
        return serial(out, write, scale, lhs, rhs, Parallelism::None);
    }
    if out.rows < n_threads * ROWS_PER_TASK {
        return serial(out, write, scale, lhs, rhs, Parallelism::Rayon(0));
    }
    let rows = out.rows.div_ceil(n_threads).next_multiple_of(ROWS_PER_TASK);
    let (cols, stride) = (out.cols, out.row_stride);
    out.data.par_chunks_mut(rows * stride).enumerate().for_each(|(i, part)| {
        let lhs = lhs.rows(i * rows, rows);
        serial(
            MatMut::strided(part, lhs.rows, cols, stride),
            write,
            scale,
            lhs,
            rhs,
            Parallelism::None,
        );
    });
}

/// One call of the gemm crate.
fn serial(out: MatMut, write: Write, scale: f32, lhs: Mat, rhs: Mat, parallelism: Parallelism) {
    if out.rows == 0 || out.cols == 0 || (lhs.cols == 0 && write == Write::Add) {
        return;
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
            out.data.as_mut_ptr(),
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

fn fits(len: usize, rows: usize, cols: usize, row_stride: usize) -> bool {
    rows == 0 || cols == 0 || (rows - 1) * row_stride + cols <= len
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposes_and_strides_are_views() {
        let a = [1., 2., 9., 3., 4., 9.]; // [[1, 2], [3, 4]] in rows of three
        let b = [5., 6., 7., 8.];
        let mut out = [1.0; 4];
        matmul(
            MatMut::new(&mut out, 2, 2),
            Write::Add,
            2.0,
            Mat::strided(&a, 2, 2, 3).t(),
            Mat::new(&b, 2, 2),
            false,
        );
        assert_eq!(out, [53., 61., 77., 89.]); // 1 + 2 · [[1, 3], [2, 4]] · [[5, 6], [7, 8]]
    }

    #[test]
    fn all_threads_give_what_one_gives() {
        let (m, n, k) = (301, 96, 130);
        let lhs: Vec<f32> = (0..m * k).map(|i| (i % 13) as f32 - 6.0).collect();
        let rhs: Vec<f32> = (0..k * n).map(|i| (i % 7) as f32 - 3.0).collect();
        let product = |parallel| {
            let mut out = vec![1.0; m * (n + 1)];
            let into = MatMut::strided(&mut out, m, n, n + 1);
            matmul(into, Write::Add, 1.0, Mat::new(&lhs, m, k), Mat::new(&rhs, k, n), parallel);
            out
        };
        assert_eq!(product(true), product(false));
    }

    #[test]
    #[should_panic(expected = "matrix outside its slice")]
    fn a_view_may_not_leave_its_slice() {
        Mat::strided(&[0.0; 5], 2, 3, 3);
    }
}
