//! On an NVIDIA GPU, by the kernels in `cuda.cu`.

use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::driver::PushKernelArg;
use candle_core::{DType, Result, Tensor};
use half::bf16;

use crate::cuda::{Module, Value, grid, no_kernel, room, size, tensor, view};

const KERNELS: Module =
    Module { name: "rms_norm", ptx: include_str!(concat!(env!("OUT_DIR"), "/rms_norm.ptx")) };

const THREADS: usize = 256;
/// Blocks of the forward at most: enough to fill a GPU, each taking several rows.
const MAX_BLOCKS: usize = 2048;
/// Rows whose part of the weight's gradient one block sums. Fixed, so that sums have one order on every GPU.
const ROWS_PER_BLOCK: usize = 32;

pub(super) fn forward(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    match (x.dtype(), weight.dtype()) {
        (DType::F32, DType::F32) => forward_of::<f32, f32>(x, weight, eps),
        (DType::BF16, DType::F32) => forward_of::<bf16, f32>(x, weight, eps),
        (DType::BF16, DType::BF16) => forward_of::<bf16, bf16>(x, weight, eps),
        (x, weight) => no_kernel("rms_norm", &[x, weight]),
    }
}

/// Gradients of x and weight.
pub(super) fn backward(
    x: &Tensor,
    weight: &Tensor,
    gradient: &Tensor,
    eps: f64,
) -> Result<[Tensor; 2]> {
    match (x.dtype(), weight.dtype()) {
        (DType::F32, DType::F32) => backward_of::<f32, f32>(x, weight, gradient, eps),
        (DType::BF16, DType::F32) => backward_of::<bf16, f32>(x, weight, gradient, eps),
        (DType::BF16, DType::BF16) => backward_of::<bf16, bf16>(x, weight, gradient, eps),
        (x, weight) => no_kernel("rms_norm", &[x, weight]),
    }
}

fn forward_of<T: Value, W: Value>(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    let (n, width) = x.dims2()?;
    if n * width == 0 {
        return x.copy();
    }
    let device = x.device().as_cuda_device()?;
    let kernel = KERNELS.kernel(device, &format!("rms_norm_forward_{}_{}", T::NAME, W::NAME))?;
    let ((x, x_layout), (weight, weight_layout)) =
        (x.storage_and_layout(), weight.storage_and_layout());
    let (x, weight) = (view::<T>(&x, x_layout)?, view::<W>(&weight, weight_layout)?);
    let mut y = room::<T>(device, n * width)?;
    let (rows, columns, eps) = (size(n)?, size(width)?, eps as f32);
    let mut launch = kernel.builder();
    launch.arg(&x).arg(&weight).arg(&mut y).arg(&rows).arg(&columns).arg(&eps);
    // SAFETY: the arguments are those of the kernel, and it stays within these sizes.
    #[expect(unsafe_code, reason = "a kernel is launched by its name")]
    unsafe {
        launch.launch(grid(n.min(MAX_BLOCKS), THREADS)).w()?;
    }
    Ok(tensor(y, (n, width), device))
}

fn backward_of<T: Value, W: Value>(
    x: &Tensor,
    weight: &Tensor,
    gradient: &Tensor,
    eps: f64,
) -> Result<[Tensor; 2]> {
    let (n, width) = x.dims2()?;
    if n * width == 0 {
        let zeros = Tensor::zeros(width, DType::F32, x.device())?;
        return Ok([x.copy()?, zeros]);
    }
    let device = x.device().as_cuda_device()?;
    let kernel = KERNELS.kernel(device, &format!("rms_norm_backward_{}_{}", T::NAME, W::NAME))?;
    let ((x, x_layout), (weight, weight_layout), (gradient, gradient_layout)) =
        (x.storage_and_layout(), weight.storage_and_layout(), gradient.storage_and_layout());
    let (x, weight) = (view::<T>(&x, x_layout)?, view::<W>(&weight, weight_layout)?);
    let gradient = view::<T>(&gradient, gradient_layout)?;
    let n_parts = n.div_ceil(ROWS_PER_BLOCK);
    let (mut of_x, mut partial) =
        (room::<T>(device, n * width)?, room::<f32>(device, n_parts * width)?);
    let (rows, columns, eps) = (size(n)?, size(width)?, eps as f32);
    let rows_per_block = size(ROWS_PER_BLOCK)?;
    let mut launch = kernel.builder();
    launch.arg(&x).arg(&weight).arg(&gradient).arg(&mut of_x).arg(&mut partial);
    launch.arg(&rows).arg(&columns).arg(&rows_per_block).arg(&eps);
    // SAFETY: as in `forward_of`.
    #[expect(unsafe_code, reason = "a kernel is launched by its name")]
    unsafe {
        launch.launch(grid(n_parts, THREADS)).w()?;
    }
    let mut of_weight = room::<f32>(device, width)?;
    let parts = size(n_parts)?;
    let kernel = KERNELS.kernel(device, "rms_norm_sum_parts")?;
    let mut launch = kernel.builder();
    launch.arg(&partial).arg(&mut of_weight).arg(&parts).arg(&columns);
    // SAFETY: as in `forward_of`.
    #[expect(unsafe_code, reason = "a kernel is launched by its name")]
    unsafe {
        launch.launch(grid(width.div_ceil(THREADS), THREADS)).w()?;
    }
    Ok([tensor(of_x, (n, width), device), tensor(of_weight, width, device)])
}
