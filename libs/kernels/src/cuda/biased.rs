//! A product of matrices with a bias added to each of its rows as it is written, by cuBLASLt: one launch less than the
//! product and a pass over it, and one rounding less.

use std::ffi::c_void;

use candle_core::cuda_backend::cudarc::cublaslt::result::{self, CublasError};
use candle_core::cuda_backend::cudarc::cublaslt::sys;
use candle_core::{CudaDevice, DType, Error, Result, Tensor, bail};

use super::launch::{empty, place_of};
use super::product::{Matrix, Product, pointer};

/// Memory that a product may use besides its result: what NVIDIA recommends for sm_90. It comes from the device's pool,
/// to which it returns when the product is done.
const WORKSPACE_BYTES: usize = 32 << 20;
/// No address needs to be better aligned than this to be read by the widest instructions.
const BEST_ALIGNMENT: usize = 256;

/// `to = scale · a · b + bias`, the bias (N) being the values of `bias` from its `from`-th on, of the type of `to`.
/// Whether it was computed: false where cuBLASLt has no way for these sizes, types and places in memory.
pub(crate) fn product_and_bias(
    device: &CudaDevice,
    product: &Product,
    bias: &Tensor,
    from: usize,
) -> Result<bool> {
    let (m, n, k) = product.sizes()?;
    let Product { a, b, to, adds, scale } = *product;
    if adds || bias.dtype() != to.values.dtype() || m * n * k == 0 {
        return Ok(false);
    }
    if bias.elem_count() < from + n {
        bail!("a bias of {} values has none for outputs {from}..{}", bias.elem_count(), from + n)
    }
    let bias_at = place_of(bias)? + (from * bias.dtype().size_in_bytes()) as u64;
    // cuBLASLt thinks in columns, where our rows are: `toᵀ = bᵀ · aᵀ`, and a bias for each of its rows.
    let task = Task::new(b.transposed, a.transposed, bias_at)?;
    let layouts = [Layout::of(b)?, Layout::of(a)?, Layout::of(to)?];
    let limits = Limits::new([pointer(b)?, pointer(a)?, pointer(to)?])?;
    let blas = device.cublas_handle();
    // A handle of cuBLAS is one of cuBLASLt too; this one is of the device's one stream.
    let handle = (*blas.handle()).cast::<sys::cublasLtContext>();
    let [left, right, out] = &layouts;
    // SAFETY: the descriptions live until the end of this function.
    #[expect(unsafe_code, reason = "a function of cuBLASLt, which remembers its answers")]
    let way = unsafe {
        result::get_matmul_algo_heuristic(handle, task.0, left.0, right.0, out.0, out.0, limits.0)
    };
    let way = match way {
        Ok(way) => way,
        Err(CublasError(sys::cublasStatus_t::CUBLAS_STATUS_NOT_SUPPORTED)) => return Ok(false),
        Err(error) => return Err(failed(error)),
    };
    let workspace = empty(way.workspaceSize.div_ceil(4).max(1), DType::U32, device)?;
    let (alpha, beta) = (scale as f32, 0f32);
    // SAFETY: the matrices have these sizes and types, and the workspace the size that was asked for; it is freed on the
    // same stream, when this is done.
    #[expect(unsafe_code, reason = "a function of cuBLASLt")]
    unsafe {
        result::matmul(
            handle,
            task.0,
            (&raw const alpha).cast(),
            (&raw const beta).cast(),
            pointer(b)?,
            left.0,
            pointer(a)?,
            right.0,
            pointer(to)?,
            out.0,
            pointer(to)?,
            out.0,
            &raw const way.algo,
            place_of(&workspace)? as *mut c_void,
            way.workspaceSize,
            device.cuda_stream().cu_stream().cast(),
        )
        .map_err(failed)?;
    }
    Ok(true)
}

fn failed(error: CublasError) -> Error {
    Error::Msg(format!("cuBLASLt: {error}"))
}

/// What is to be computed: a product with sums in f32, and a bias.
struct Task(sys::cublasLtMatmulDesc_t);

impl Task {
    fn new(left_transposed: bool, right_transposed: bool, bias_at: u64) -> Result<Self> {
        use sys::cublasLtMatmulDescAttributes_t as Attribute;
        let compute = sys::cublasComputeType_t::CUBLAS_COMPUTE_32F;
        let task = Self(
            result::create_matmul_desc(compute, sys::cudaDataType::CUDA_R_32F).map_err(failed)?,
        );
        let epilogue = sys::cublasLtEpilogue_t::CUBLASLT_EPILOGUE_BIAS;
        task.set(Attribute::CUBLASLT_MATMUL_DESC_TRANSA, i32::from(left_transposed))?;
        task.set(Attribute::CUBLASLT_MATMUL_DESC_TRANSB, i32::from(right_transposed))?;
        task.set(Attribute::CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue)?;
        task.set(Attribute::CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias_at)?;
        Ok(task)
    }

    fn set<T>(&self, attribute: sys::cublasLtMatmulDescAttributes_t, value: T) -> Result<()> {
        // SAFETY: the callers give values of the types that the attributes have.
        #[expect(unsafe_code, reason = "a function of cuBLASLt")]
        unsafe {
            let at = (&raw const value).cast();
            result::set_matmul_desc_attribute(self.0, attribute, at, size_of::<T>()).map_err(failed)
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        // SAFETY: nothing else has it.
        #[expect(unsafe_code, reason = "a function of cuBLASLt")]
        let destroyed = unsafe { result::destroy_matmul_desc(self.0) };
        debug_assert!(destroyed.is_ok(), "{destroyed:?}");
    }
}

/// How a matrix lies in memory.
struct Layout(sys::cublasLtMatrixLayout_t);

impl Layout {
    fn of(matrix: Matrix) -> Result<Self> {
        let kind = match matrix.values.dtype() {
            DType::F32 => sys::cudaDataType::CUDA_R_32F,
            DType::BF16 => sys::cudaDataType::CUDA_R_16BF,
            dtype => bail!("products are of f32 and bf16, not of {dtype:?}"),
        };
        let (rows, columns) = matrix.dims;
        let (height, width) = (columns as u64, rows as u64);
        result::create_matrix_layout(kind, height, width, columns as i64).map(Self).map_err(failed)
    }
}

impl Drop for Layout {
    fn drop(&mut self) {
        // SAFETY: nothing else has it.
        #[expect(unsafe_code, reason = "a function of cuBLASLt")]
        let destroyed = unsafe { result::destroy_matrix_layout(self.0) };
        debug_assert!(destroyed.is_ok(), "{destroyed:?}");
    }
}

/// What a way to compute the product may ask for.
struct Limits(sys::cublasLtMatmulPreference_t);

impl Limits {
    /// For factors and a result at these places.
    fn new([left, right, out]: [*mut c_void; 3]) -> Result<Self> {
        use sys::cublasLtMatmulPreferenceAttributes_t as Attribute;
        let limits = Self(result::create_matmul_pref().map_err(failed)?);
        limits.set(Attribute::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, WORKSPACE_BYTES)?;
        for (attribute, place) in [
            (Attribute::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, left),
            (Attribute::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, right),
            (Attribute::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, out),
            (Attribute::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, out),
        ] {
            // The largest power of two that divides the place.
            let alignment = 1usize << (place as usize | BEST_ALIGNMENT).trailing_zeros();
            limits.set(attribute, alignment as u32)?;
        }
        Ok(limits)
    }

    fn set<T>(&self, attribute: sys::cublasLtMatmulPreferenceAttributes_t, value: T) -> Result<()> {
        // SAFETY: the callers give values of the types that the attributes have.
        #[expect(unsafe_code, reason = "a function of cuBLASLt")]
        unsafe {
            let at = (&raw const value).cast();
            result::set_matmul_pref_attribute(self.0, attribute, at, size_of::<T>()).map_err(failed)
        }
    }
}

impl Drop for Limits {
    fn drop(&mut self) {
        // SAFETY: nothing else has it.
        #[expect(unsafe_code, reason = "a function of cuBLASLt")]
        let destroyed = unsafe { result::destroy_matmul_pref(self.0) };
        debug_assert!(destroyed.is_ok(), "{destroyed:?}");
    }
}
