//! Matrix products over strided views, without copies: the one door to whatever computes them.

#[cfg(target_arch = "x86_64")]
mod blocked;
#[cfg(target_arch = "x86_64")]
mod microkernel;
#[cfg(all(feature = "mkl", target_arch = "x86_64"))]
mod mkl;
mod portable;
#[cfg(target_arch = "x86_64")]
mod skinny;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use half::bf16;

use crate::element::Element;
use crate::path::is_decoding;

/// Multiplications from which a second thread is worth waking.
const PARALLEL_FROM: usize = 1 << 20;

/// Rows of a left operand that are few: a thread has more to read than to compute.
const FEW_ROWS: usize = 64;

/// A matrix in a slice; either stride may be the unit one, so a transpose is free.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mat<'a, T = f32> {
    data: &'a [T],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a, T> Mat<'a, T> {
    /// Rows one after the other.
    pub(crate) fn new(data: &'a [T], rows: usize, cols: usize) -> Self {
        Self::strided(data, rows, cols, cols)
    }

    /// Rows of `cols` values that start `row_stride` apart.
    pub(crate) fn strided(data: &'a [T], rows: usize, cols: usize, row_stride: usize) -> Self {
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
        // What lies behind the last row is nobody's task.
        let len = data.len().min(rows * row_stride);
        Self { data: &mut data[..len], rows, cols, row_stride }
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
    #[cfg(all(feature = "mkl", target_arch = "x86_64"))]
    if mkl::is_there() {
        return "mkl";
    }
    if is_blocked(false) { "avx512" } else { "gemm" }
}

/// Why the optional library that was built in does not compute the products, if it does not.
pub fn gemm_backend_error() -> Option<&'static str> {
    #[cfg(all(feature = "mkl", target_arch = "x86_64"))]
    return mkl::error();
    #[cfg(not(all(feature = "mkl", target_arch = "x86_64")))]
    None
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
pub(crate) fn matmul(
    mut out: MatMut,
    write: Write,
    scale: f32,
    lhs: Mat,
    rhs: Mat,
    parallel: bool,
) {
    let Some(parallel) = prepare(&out, write, &lhs, &rhs, parallel) else { return };
    #[cfg(target_arch = "x86_64")]
    if is_blocked(false) && lhs.cols > 0 {
        return run(&product(&mut out, write, scale, lhs, rhs, false), parallel);
    }
    portable::run(out, write, scale, lhs, rhs, parallel);
}

/// As [`matmul`], of bfloat16 operands with sums in f32.
pub(crate) fn matmul_bf16(
    mut out: MatMut,
    write: Write,
    scale: f32,
    lhs: Mat<bf16>,
    rhs: Mat<bf16>,
    parallel: bool,
) {
    let Some(parallel) = prepare(&out, write, &lhs, &rhs, parallel) else { return };
    #[cfg(target_arch = "x86_64")]
    {
        // Two neighbors share a lane: with an odd inner dimension they would straddle columns.
        let even = |n: usize| n.is_multiple_of(2);
        let fits = rhs.row_stride != 1 || (even(lhs.cols) && even(rhs.col_stride));
        if is_blocked(true) && lhs.cols > 0 && fits {
            return run(&product(&mut out, write, scale, lhs, rhs, true), parallel);
        }
    }
    let widen = |mat: &Mat<bf16>| mat.data.iter().map(|x| x.to_f32()).collect::<Vec<f32>>();
    let (left, right) = (widen(&lhs), widen(&rhs));
    portable::run(out, write, scale, with_data(lhs, &left), with_data(rhs, &right), parallel);
}

/// `out = lhs · rhs` for each pair. While decoding, where `lhs` has few rows, all threads share all of the work at once instead of
/// waiting for one another after every product.
pub(crate) fn matmul_each<T: Element, const N: usize>(
    mut outs: [MatMut; N],
    lhs: Mat<T>,
    rhs: [Mat<T>; N],
) {
    #[cfg(target_arch = "x86_64")]
    {
        let bf16 = T::DTYPE == candle_core::DType::BF16;
        let pairs = || outs.iter().zip(&rhs);
        let work: usize = pairs().map(|(out, rhs)| out.rows * out.cols * rhs.rows).sum();
        let fit = pairs()
            .all(|(out, rhs)| (out.rows, out.cols, lhs.cols) == (lhs.rows, rhs.cols, rhs.rows));
        assert!(fit, "matmul shapes");
        let products: Vec<_> = outs
            .iter_mut()
            .zip(rhs)
            .map(|(out, rhs)| product(out, Write::Overwrite, 1.0, lhs, rhs, bf16))
            .collect();
        let are_skinny = is_decoding() && products.iter().all(skinny::fits);
        if work > 0 && blocked::is_supported(bf16) && are_skinny {
            FLOPS.fetch_add(2 * work as u64, Ordering::Relaxed);
            let parallel = is_worth_all_threads(work);
            // SAFETY: as in `run`.
            #[expect(unsafe_code, reason = "raw pointers and vector instructions")]
            return unsafe { skinny::run(&products, parallel) };
        }
    }
    for (out, rhs) in outs.into_iter().zip(rhs) {
        T::matmul(out, Write::Overwrite, 1.0, lhs, rhs, true);
    }
}

fn with_data<'a>(mat: Mat<bf16>, data: &'a [f32]) -> Mat<'a> {
    let Mat { rows, cols, row_stride, col_stride, .. } = mat;
    Mat { data, rows, cols, row_stride, col_stride }
}

/// Counts the work and says whether it is worth all threads; nothing if there is none.
fn prepare<T>(
    out: &MatMut,
    write: Write,
    lhs: &Mat<T>,
    rhs: &Mat<T>,
    parallel: bool,
) -> Option<bool> {
    assert_eq!((out.rows, out.cols, lhs.cols), (lhs.rows, rhs.cols, rhs.rows), "matmul shapes");
    if out.rows == 0 || out.cols == 0 || (lhs.cols == 0 && write == Write::Add) {
        return None;
    }
    let work = out.rows * out.cols * lhs.cols;
    FLOPS.fetch_add(2 * work as u64, Ordering::Relaxed);
    Some(parallel && is_worth_all_threads(work))
}

fn is_worth_all_threads(work: usize) -> bool {
    work >= PARALLEL_FROM && rayon::current_num_threads() > 1
}

/// Whether the products of [`blocked::Product`] can be computed here.
fn is_blocked(bf16: bool) -> bool {
    #[cfg(all(feature = "mkl", target_arch = "x86_64"))]
    if mkl::is_there() {
        return true;
    }
    #[cfg(target_arch = "x86_64")]
    return blocked::is_supported(bf16);
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Whether bfloat16 is multiplied as it is, not converted first.
pub(crate) fn multiplies_bf16() -> bool {
    is_blocked(true)
}

#[cfg(target_arch = "x86_64")]
fn product<T>(
    out: &mut MatMut,
    write: Write,
    scale: f32,
    lhs: Mat<T>,
    rhs: Mat<T>,
    bf16: bool,
) -> blocked::Product {
    let operand = |mat: &Mat<T>| blocked::Operand {
        data: mat.data.as_ptr().cast(),
        row_stride: mat.row_stride,
        col_stride: mat.col_stride,
    };
    blocked::Product {
        rows: out.rows,
        cols: out.cols,
        inner: lhs.cols,
        left: operand(&lhs),
        right: operand(&rhs),
        out: out.data.as_mut_ptr(),
        out_stride: out.row_stride,
        scale,
        add: write == Write::Add,
        bf16,
    }
}

#[cfg(target_arch = "x86_64")]
fn run(product: &blocked::Product, parallel: bool) {
    let is_skinny = is_decoding() && skinny::fits(product) && blocked::is_supported(product.bf16);
    // SAFETY: the constructors check that every view lies inside its slice and that the rows of the output
    // do not overlap; the output is borrowed exclusively, so it aliases neither operand; shapes were compared
    // and the processor asked.
    #[expect(unsafe_code, reason = "raw pointers and vector instructions")]
    unsafe {
        match is_skinny {
            true => skinny::run(std::slice::from_ref(product), parallel),
            #[cfg(feature = "mkl")]
            false if mkl::is_there() => mkl::run(product, parallel),
            false => product.run(parallel),
        }
    }
}

fn fits(len: usize, rows: usize, cols: usize, row_stride: usize) -> bool {
    rows == 0 || cols == 0 || (rows - 1) * row_stride + cols <= len
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::decoding;

    /// Numbers of few bits, so that every sum is exact in both types.
    fn numbers(n: usize, modulus: usize) -> Vec<f32> {
        (0..n).map(|i| (i * 7 % modulus) as f32 - (modulus / 2) as f32).collect()
    }

    /// Numbers whose sums depend on their order.
    fn values(n: usize) -> Vec<f32> {
        (0..n).map(|i| (i as f32 * 0.7).sin()).collect()
    }

    /// All four layouts of a product in both types, serial and parallel, against three loops.
    #[track_caller]
    fn check(m: usize, n: usize, k: usize) {
        let (a, b) = (numbers(m * k, 13), numbers(k * n, 7));
        let narrow = |values: &[f32]| values.iter().map(|x| bf16::from_f32(*x)).collect::<Vec<_>>();
        let (a16, b16) = (narrow(&a), narrow(&b));
        for (lhs_t, rhs_t, parallel) in (0..8).map(|i| (i & 1 > 0, i & 2 > 0, i & 4 > 0)) {
            let at = |i: usize, p: usize| if lhs_t { p * m + i } else { i * k + p };
            let bt = |p: usize, j: usize| if rhs_t { j * k + p } else { p * n + j };
            let stride = n + 3;
            let mut expected = vec![1.0f32; m * stride];
            for i in 0..m {
                for j in 0..n {
                    let sum: f32 = (0..k).map(|p| a[at(i, p)] * b[bt(p, j)]).sum();
                    expected[i * stride + j] += 2.0 * sum;
                }
            }
            fn view<T>(data: &[T], rows: usize, cols: usize, t: bool) -> Mat<'_, T> {
                if t { Mat::new(data, cols, rows).t() } else { Mat::new(data, rows, cols) }
            }
            let mut out = vec![1.0; m * stride];
            let into = MatMut::strided(&mut out, m, n, stride);
            let (lhs, rhs) = (view(&a, m, k, lhs_t), view(&b, k, n, rhs_t));
            matmul(into, Write::Add, 2.0, lhs, rhs, parallel);
            assert!(out == expected, "{m}x{n}x{k} {lhs_t} {rhs_t} {parallel}");
            let mut out = vec![1.0; m * stride];
            let into = MatMut::strided(&mut out, m, n, stride);
            let (lhs, rhs) = (view(&a16, m, k, lhs_t), view(&b16, k, n, rhs_t));
            matmul_bf16(into, Write::Add, 2.0, lhs, rhs, parallel);
            assert!(out == expected, "bf16 {m}x{n}x{k} {lhs_t} {rhs_t} {parallel}");
        }
    }

    #[test]
    fn every_layout_and_rest_is_the_plain_sum() {
        for (m, n, k) in [(1, 1, 1), (8, 48, 16), (7, 50, 33), (9, 17, 64), (3, 100, 18)] {
            check(m, n, k);
        }
    }

    #[test]
    fn blocks_add_up() {
        check(150, 70, 600);
        check(40, 1600, 31);
    }

    #[test]
    fn an_odd_inner_dimension_leaves_half_a_lane() {
        check(50, 64, 421);
        check(33, 7, 1025);
    }

    #[test]
    fn few_rows_may_take_the_other_path() {
        for (m, n, k) in [(1, 130, 40), (19, 65, 514), (61, 70, 300), (61, 70, 100), (65, 7, 600)] {
            check(m, n, k);
            decoding(|| check(m, n, k));
        }
    }

    #[test]
    fn a_row_comes_out_the_same_beside_many_and_alone() {
        let (a, b) = (values(300 * 520), values(200 * 520));
        let rows = |n: usize| {
            let mut out = vec![0.0; n * 200];
            let (lhs, rhs) = (Mat::new(&a[..n * 520], n, 520), Mat::new(&b, 200, 520).t());
            matmul(MatMut::new(&mut out, n, 200), Write::Overwrite, 1.0, lhs, rhs, true);
            out
        };
        let all = rows(300);
        for n in [1, 8, 31, 64, 130] {
            assert!(rows(n)[..] == all[..n * 200], "{n} rows");
        }
    }

    #[test]
    fn products_of_one_operand_are_those_of_each() {
        for rows in [1, 9, 33] {
            let (a, b, c) = (numbers(rows * 70, 13), numbers(50 * 70, 7), numbers(200 * 70, 5));
            let lhs = Mat::new(&a, rows, 70);
            let rhs = [Mat::new(&b, 50, 70).t(), Mat::new(&c, 200, 70).t()];
            let run = |each: bool| {
                let (mut first, mut second) = (vec![1.0; rows * 50], vec![1.0; rows * 200]);
                let outs = [MatMut::new(&mut first, rows, 50), MatMut::new(&mut second, rows, 200)];
                match each {
                    true => decoding(|| matmul_each(outs, lhs, rhs)),
                    false => outs
                        .into_iter()
                        .zip(rhs)
                        .for_each(|(out, rhs)| matmul(out, Write::Overwrite, 1.0, lhs, rhs, false)),
                }
                (first, second)
            };
            assert!(run(true) == run(false), "{rows} rows");
        }
    }

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
    #[should_panic(expected = "matrix outside its slice")]
    fn a_view_may_not_leave_its_slice() {
        Mat::strided(&[0.0; 5], 2, 3, 3);
    }
}
