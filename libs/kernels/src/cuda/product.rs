//! Products of matrices by cuBLAS, with sums in f32.

use std::ffi::c_void;

use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::cublas::{result, sys};
use candle_core::{CudaDevice, DType, Result, Tensor, bail};

use super::launch::{Argument, from_address};

/// A matrix as it lies in memory, row after row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Matrix<'a> {
    /// The tensor that holds the matrix.
    pub(crate) values: &'a Tensor,
    /// The first of its values in the tensor.
    pub(crate) offset: usize,
    /// Rows and columns in memory.
    pub(crate) dims: (usize, usize),
    /// Whether it is the transpose that is meant.
    pub(crate) transposed: bool,
}

impl<'a> Matrix<'a> {
    /// The rows `start..start + len` of a matrix (…, width).
    pub(crate) fn rows(values: &'a Tensor, width: usize, start: usize, len: usize) -> Self {
        Self { values, offset: start * width, dims: (len, width), transposed: false }
    }

    /// All of a matrix.
    pub(crate) fn whole(values: &'a Tensor) -> Result<Self> {
        let (n, width) = values.dims2()?;
        Ok(Self::rows(values, width, 0, n))
    }

    /// The same values as the transposed matrix.
    pub(crate) fn t(self) -> Self {
        Self { transposed: !self.transposed, ..self }
    }

    fn shape(&self) -> (usize, usize) {
        let (rows, columns) = self.dims;
        if self.transposed { (columns, rows) } else { (rows, columns) }
    }
}

/// `to = scale · a · b`, or `to += scale · a · b`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Product<'a> {
    /// The left matrix, (M, K).
    pub(crate) a: Matrix<'a>,
    /// (K, N), of the same type
    pub(crate) b: Matrix<'a>,
    /// (M, N), of the same type or f32
    pub(crate) to: Matrix<'a>,
    pub(crate) adds: bool,
    pub(crate) scale: f64,
}

impl Product<'_> {
    /// M, N and K.
    ///
    /// # Errors
    /// Matrices that do not fit together.
    pub(super) fn sizes(&self) -> Result<(usize, usize, usize)> {
        let Self { a, b, to, .. } = self;
        let ((m, k), (b_rows, n)) = (a.shape(), b.shape());
        let fits = b_rows == k && to.shape() == (m, n) && !to.transposed;
        if !fits || a.values.dtype() != b.values.dtype() {
            let (left, right, result) = (a.shape(), b.shape(), to.shape());
            bail!("a product of {left:?} and {right:?} does not give {result:?}")
        }
        Ok((m, n, k))
    }
}

/// Computes a product. cuBLAS thinks in columns, where our rows are: it is told of the transposes, `toᵀ = bᵀ · aᵀ`.
pub(crate) fn product(device: &CudaDevice, product: &Product) -> Result<()> {
    let Product { a, b, to, adds, scale } = *product;
    let (m, n, k) = product.sizes()?;
    if m == 0 || n == 0 {
        return Ok(());
    }
    let alpha = scale as f32;
    let beta = if adds { 1f32 } else { 0f32 };
    let of = |matrix: Matrix| {
        if matrix.transposed {
            sys::cublasOperation_t::CUBLAS_OP_T
        } else {
            sys::cublasOperation_t::CUBLAS_OP_N
        }
    };
    let blas = device.cublas_handle();
    // SAFETY: the matrices have these sizes and types; the handle is the device's, on its one stream.
    #[expect(unsafe_code, reason = "a function of cuBLAS")]
    unsafe {
        result::gemm_ex(
            *blas.handle(),
            of(b),
            of(a),
            int(n)?,
            int(m)?,
            int(k)?,
            (&raw const alpha).cast(),
            pointer(b)?,
            type_of(b)?,
            int(b.dims.1)?,
            pointer(a)?,
            type_of(a)?,
            int(a.dims.1)?,
            (&raw const beta).cast(),
            pointer(to)?,
            type_of(to)?,
            int(to.dims.1)?,
            sys::cublasComputeType_t::CUBLAS_COMPUTE_32F,
            sys::cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT,
        )
        .w()
    }
}

fn int(n: usize) -> Result<i32> {
    match i32::try_from(n) {
        Ok(n) => Ok(n),
        Err(_) => bail!("a side of {n} is too long"),
    }
}

pub(super) fn pointer(matrix: Matrix) -> Result<*mut c_void> {
    match from_address(matrix.values, matrix.offset)? {
        Argument::Address(address) => Ok(address as *mut c_void),
        other => bail!("{other:?} is no address"),
    }
}

fn type_of(matrix: Matrix) -> Result<sys::cudaDataType> {
    match matrix.values.dtype() {
        DType::F32 => Ok(sys::cudaDataType::CUDA_R_32F),
        DType::BF16 => Ok(sys::cudaDataType::CUDA_R_16BF),
        dtype => bail!("products are of f32 and bf16, not of {dtype:?}"),
    }
}
