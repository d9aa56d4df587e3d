//! Products by Intel's oneMKL, loaded when the program first needs one: with AMX several times as fast in
//! bfloat16.
//!
//! `libmkl_rt.so.2` (Debian `libmkl-rt`, PyPI `mkl`) is looked for where the system looks for libraries, or at
//! `VRFT_MKL`. Its own threads stay off: rows are divided here, so that nothing is computed on more threads
//! than there are cores.
#![expect(unsafe_code, reason = "functions of a C library")]

use std::ffi::c_int;
use std::sync::OnceLock;

use libloading::{Library, Symbol};
use rayon::prelude::*;

use super::blocked::{Operand, Product};

/// Where else the library may be.
const VARIABLE: &str = "VRFT_MKL";
const NAMES: [&str; 2] = ["libmkl_rt.so.2", "libmkl_rt.so.3"];
const ROW_MAJOR: c_int = 101;
const NO_TRANSPOSE: c_int = 111;
const TRANSPOSE: c_int = 112;
/// `MKL_THREADING_SEQUENTIAL`.
const SEQUENTIAL: c_int = 1;
/// Rows of a task are a multiple of this.
const ROWS: usize = 16;

type Gemm<T> = unsafe extern "C" fn(
    c_int,
    c_int,
    c_int,
    c_int,
    c_int,
    c_int,
    f32,
    *const T,
    c_int,
    *const T,
    c_int,
    f32,
    *mut f32,
    c_int,
);

struct Mkl {
    f32: Gemm<f32>,
    bf16: Gemm<u16>,
    /// Keeps the functions valid.
    _library: Library,
}

/// Why products are not computed by the library.
pub(super) fn error() -> Option<&'static str> {
    mkl().as_ref().err().map(String::as_str)
}

/// Whether it was found.
pub(super) fn is_there() -> bool {
    mkl().is_ok()
}

fn mkl() -> &'static Result<Mkl, String> {
    static MKL: OnceLock<Result<Mkl, String>> = OnceLock::new();
    MKL.get_or_init(load)
}

fn load() -> Result<Mkl, String> {
    let named = std::env::var(VARIABLE).ok();
    let names = named.as_deref().map_or(NAMES.to_vec(), |name| vec![name]);
    let mut reasons = Vec::new();
    for name in names {
        // SAFETY: opening runs the library's own initialization; it is a library of mathematics.
        match unsafe { Library::new(name) } {
            Ok(library) => return functions(library),
            Err(error) => reasons.push(error.to_string()),
        }
    }
    let reasons = reasons.join("; ");
    Err(format!("no MKL: {reasons}; install libmkl-rt, or name the file in {VARIABLE}"))
}

fn functions(library: Library) -> Result<Mkl, String> {
    let missing = |error: libloading::Error| format!("MKL is not as expected: {error}");
    // SAFETY: the signatures are those of mkl_service.h and mkl_cblas.h, with 32-bit integers.
    unsafe {
        let layer: Symbol<unsafe extern "C" fn(c_int) -> c_int> =
            library.get(b"MKL_Set_Threading_Layer\0").map_err(missing)?;
        layer(SEQUENTIAL);
        let f32 = *library.get(b"cblas_sgemm\0").map_err(missing)?;
        let bf16 = *library.get(b"cblas_gemm_bf16bf16f32\0").map_err(missing)?;
        Ok(Mkl { f32, bf16, _library: library })
    }
}

/// As [`Product::run`].
///
/// # Safety
/// As for [`Product::run`].
pub(super) unsafe fn run(product: &Product, parallel: bool) {
    let Ok(mkl) = mkl() else { return };
    let n_tasks = if parallel { rayon::current_num_threads() } else { 1 };
    // The longer side is divided.
    let by_rows = product.rows >= product.cols;
    let length = if by_rows { product.rows } else { product.cols };
    let share = length.div_ceil(n_tasks).next_multiple_of(ROWS);
    let task = |idx: usize| {
        let start = idx * share;
        let n = share.min(length - start);
        let mut part = *product;
        let bytes = if product.bf16 { 2 } else { 4 };
        if by_rows {
            part.rows = n;
            part.left.data = part.left.data.wrapping_add(start * product.left.row_stride * bytes);
            part.out = part.out.wrapping_add(start * product.out_stride);
        } else {
            part.cols = n;
            part.right.data =
                part.right.data.wrapping_add(start * product.right.col_stride * bytes);
            part.out = part.out.wrapping_add(start);
        }
        // SAFETY: the caller's; parts of the output do not overlap.
        unsafe { mkl.serial(&part) }
    };
    let tasks = 0..length.div_ceil(share);
    if parallel {
        tasks.into_par_iter().for_each(task);
    } else {
        tasks.for_each(task);
    }
}

impl Mkl {
    unsafe fn serial(&self, product: &Product) {
        let (left, lda) = form(&product.left, product.rows, product.inner);
        let (right, ldb) = form(&product.right, product.inner, product.cols);
        let sizes = [product.rows, product.cols, product.inner].map(|n| n as c_int);
        let [m, n, k] = sizes;
        let alpha = product.scale;
        let beta = if product.add { 1.0 } else { 0.0 };
        let ldc = product.out_stride as c_int;
        // SAFETY: the caller's.
        unsafe {
            if product.bf16 {
                let (a, b) = (product.left.data.cast(), product.right.data.cast());
                (self.bf16)(
                    ROW_MAJOR,
                    left,
                    right,
                    m,
                    n,
                    k,
                    alpha,
                    a,
                    lda,
                    b,
                    ldb,
                    beta,
                    product.out,
                    ldc,
                );
            } else {
                let (a, b) = (product.left.data.cast(), product.right.data.cast());
                (self.f32)(
                    ROW_MAJOR,
                    left,
                    right,
                    m,
                    n,
                    k,
                    alpha,
                    a,
                    lda,
                    b,
                    ldb,
                    beta,
                    product.out,
                    ldc,
                );
            }
        }
    }
}

/// Whether the operand lies transposed, and the distance of its lines: of a single one, its length.
fn form(operand: &Operand, rows: usize, cols: usize) -> (c_int, c_int) {
    if operand.col_stride == 1 && (rows == 1 || operand.row_stride >= cols) {
        (NO_TRANSPOSE, operand.row_stride.max(cols) as c_int)
    } else {
        (TRANSPOSE, operand.col_stride.max(rows) as c_int)
    }
}
