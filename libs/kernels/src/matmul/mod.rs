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
#[cfg(test)]
mod tests;
mod view;

use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use half::bf16;

use crate::cpu::{Element, append};
pub(crate) use view::{Mat, MatMut};

/// Multiplications from which a second thread is worth waking.
const PARALLEL_FROM: usize = 1 << 20;

/// Rows of a left operand that are few: a thread has more to read than to compute.
const FEW_ROWS: usize = 64;

/// How the work of a product is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct How {
    /// Over all threads, if there is enough of it; else on this one, which is one of a parallel loop.
    parallel: bool,
    /// A left operand of few rows takes a path of its own, see [`Context::decoding`](crate::Context::decoding).
    decoding: bool,
}

impl How {
    /// The product is computed on the calling thread.
    pub(crate) const SERIAL: Self = Self { parallel: false, decoding: false };
    /// The product is divided among all threads.
    pub(crate) const PARALLEL: Self = Self { parallel: true, decoding: false };

    /// Whether few rows take their own path.
    pub(crate) fn is_decoding(self) -> bool {
        self.decoding
    }

    /// The same, by the path for few rows if they are those of a decoding step.
    pub(crate) fn decoding(self, decoding: bool) -> Self {
        Self { decoding, ..self }
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
        matmul(MatMut::new(&mut out, SIDE, SIDE), Write::Overwrite, 1.0, a, b, How::PARALLEL);
        best = best.min(start.elapsed().as_secs_f64());
    }
    2.0 * (SIDE * SIDE * SIDE) as f64 / best / 1e9
}

/// `scale · lhs · rhs`, row after row.
pub(crate) fn product<T: Element>(scale: f32, lhs: Mat<T>, rhs: Mat<T>, how: How) -> Vec<f32> {
    let mut out = Vec::new();
    append_product(&mut out, scale, lhs, rhs, how);
    out
}

/// As [`product`], behind the values that are there.
pub(crate) fn append_product<T: Element>(
    out: &mut Vec<f32>,
    scale: f32,
    lhs: Mat<T>,
    rhs: Mat<T>,
    how: How,
) {
    let (rows, cols) = (lhs.rows, rhs.cols);
    let fill = |places: &mut [MaybeUninit<f32>]| {
        let out = MatMut::of_places(places, rows, cols, cols);
        T::matmul(out, Write::Overwrite, scale, lhs, rhs, how);
    };
    // SAFETY: a product that overwrites writes each value of its output, and that is all that is appended.
    #[expect(unsafe_code, reason = "zeros cost as much as a product of few rows")]
    unsafe {
        append(out, rows * cols, fill);
    }
}

/// `out = scale · lhs · rhs`, or `out += …`.
pub(crate) fn matmul(mut out: MatMut, write: Write, scale: f32, lhs: Mat, rhs: Mat, how: How) {
    let Some(how) = prepare(&mut out, write, &lhs, &rhs, how) else { return };
    #[cfg(target_arch = "x86_64")]
    if is_blocked(false) {
        return run(&task(&mut out, write, scale, lhs, rhs, false), how);
    }
    portable::run(out, write, scale, lhs, rhs, how.parallel);
}

/// As [`matmul`], of bfloat16 operands with sums in f32.
pub(crate) fn matmul_bf16(
    mut out: MatMut,
    write: Write,
    scale: f32,
    lhs: Mat<bf16>,
    rhs: Mat<bf16>,
    how: How,
) {
    let Some(how) = prepare(&mut out, write, &lhs, &rhs, how) else { return };
    #[cfg(target_arch = "x86_64")]
    {
        // Two neighbors share a lane: with an odd inner dimension they would straddle columns.
        let even = |n: usize| n.is_multiple_of(2);
        let fits = rhs.row_stride != 1 || (even(lhs.cols) && even(rhs.col_stride));
        if is_blocked(true) && fits {
            return run(&task(&mut out, write, scale, lhs, rhs, true), how);
        }
    }
    let widen = |mat: &Mat<bf16>| mat.data.iter().map(|x| x.to_f32()).collect::<Vec<f32>>();
    let (left, right) = (widen(&lhs), widen(&rhs));
    portable::run(out, write, scale, lhs.of(&left), rhs.of(&right), how.parallel);
}

/// `lhs · rhs` for each right operand. In a decoding step, where `lhs` has few rows, all threads share all of the work
/// at once instead of waiting for one another after every product.
pub(crate) fn product_each<T: Element, const N: usize>(
    lhs: Mat<T>,
    rhs: [Mat<T>; N],
    how: How,
) -> [Vec<f32>; N] {
    #[cfg(target_arch = "x86_64")]
    if let Some(outs) = skinny_product_each(lhs, rhs, how) {
        return outs;
    }
    rhs.map(|rhs| product(1.0, lhs, rhs, how))
}

/// See [`product_each`]; nothing if there is no path of their own for all of the products.
#[cfg(target_arch = "x86_64")]
fn skinny_product_each<T: Element, const N: usize>(
    lhs: Mat<T>,
    rhs: [Mat<T>; N],
    how: How,
) -> Option<[Vec<f32>; N]> {
    let bf16 = T::DTYPE == candle_core::DType::BF16;
    assert!(rhs.iter().all(|rhs| rhs.rows == lhs.cols), "matmul shapes");
    let work: usize = rhs.iter().map(|rhs| lhs.rows * rhs.cols * rhs.rows).sum();
    if !how.decoding || work == 0 || !blocked::is_supported(bf16) {
        return None;
    }
    let mut outs = rhs.map(|rhs| Vec::with_capacity(lhs.rows * rhs.cols));
    let tasks: Vec<_> = outs
        .iter_mut()
        .zip(rhs)
        .map(|(out, rhs)| {
            let places = &mut out.spare_capacity_mut()[..lhs.rows * rhs.cols];
            let mut out = MatMut::of_places(places, lhs.rows, rhs.cols, rhs.cols);
            task(&mut out, Write::Overwrite, 1.0, lhs, rhs, bf16)
        })
        .collect();
    if !tasks.iter().all(skinny::fits) {
        return None;
    }
    FLOPS.fetch_add(2 * work as u64, Ordering::Relaxed);
    let parallel = how.parallel && is_worth_all_threads(work);
    // SAFETY: as in `run`; each output has just been given its room, and the product writes all of it.
    #[expect(unsafe_code, reason = "raw pointers and vector instructions")]
    unsafe {
        skinny::run(&tasks, parallel);
        for (out, rhs) in outs.iter_mut().zip(rhs) {
            out.set_len(lhs.rows * rhs.cols);
        }
    }
    Some(outs)
}

/// Counts the work and says how to do it; nothing if it is done, because an axis is empty.
fn prepare<T>(out: &mut MatMut, write: Write, lhs: &Mat<T>, rhs: &Mat<T>, how: How) -> Option<How> {
    assert_eq!((out.rows, out.cols, lhs.cols), (lhs.rows, rhs.cols, rhs.rows), "matmul shapes");
    let work = out.rows * out.cols * lhs.cols;
    if work == 0 {
        // An empty sum is 0.
        if write == Write::Overwrite && out.cols > 0 {
            let rows = out.data.chunks_mut(out.row_stride.max(1));
            rows.for_each(|row| row[..out.cols].fill(MaybeUninit::new(0.0)));
        }
        return None;
    }
    FLOPS.fetch_add(2 * work as u64, Ordering::Relaxed);
    Some(How { parallel: how.parallel && is_worth_all_threads(work), ..how })
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
fn task<T>(
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
        out: out.start(),
        out_stride: out.row_stride,
        scale,
        add: write == Write::Add,
        bf16,
    }
}

#[cfg(target_arch = "x86_64")]
fn run(product: &blocked::Product, how: How) {
    let is_skinny = how.decoding && skinny::fits(product) && blocked::is_supported(product.bf16);
    // SAFETY: the constructors check that every view lies inside its slice and that the rows of the output
    // do not overlap; the output is borrowed exclusively, so it aliases neither operand; shapes were compared
    // and the processor asked.
    #[expect(unsafe_code, reason = "raw pointers and vector instructions")]
    unsafe {
        if is_skinny {
            return skinny::run(std::slice::from_ref(product), how.parallel);
        }
        #[cfg(feature = "mkl")]
        if mkl::is_there() {
            return mkl::run(product, how.parallel);
        }
        product.run(how.parallel);
    }
}
