//! On an NVIDIA GPU, by the kernels in `cuda.cu`.

use candle_core::{DType, Result, Tensor};

use crate::cuda::{Module, address, blocks, empty, name_of, number, size};
use crate::ops::linear::sum_parts;

const KERNELS: Module =
    Module { name: "layer_norm", ptx: include_str!(concat!(env!("OUT_DIR"), "/layer_norm.ptx")) };

const THREADS: usize = 256;
/// Blocks of the forward at most: enough to fill a GPU, each taking several rows.
const MAX_BLOCKS: usize = 2048;
/// Rows whose part of the weights' gradients one block sums. Fixed, so that sums have one order on every GPU.
const ROWS_PER_BLOCK: usize = 32;

pub(super) fn forward(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    let (n, width) = x.dims2()?;
    let device = x.device().as_cuda_device()?;
    let y = empty((n, width), x.dtype(), device)?;
    if n * width > 0 {
        let arguments = [
            address(x)?,
            address(weight)?,
            address(bias)?,
            address(&y)?,
            size(n)?,
            size(width)?,
            number(eps),
        ];
        let kernel = kernel("forward", x, weight)?;
        KERNELS.launch(device, &kernel, blocks(n.min(MAX_BLOCKS), THREADS), &arguments)?;
    }
    Ok(y)
}

/// Gradients of x, and of weight and bias if one of them is trained.
pub(super) fn backward(
    x: &Tensor,
    weight: &Tensor,
    gradient: &Tensor,
    eps: f64,
    is_trained: bool,
) -> Result<(Tensor, Option<[Tensor; 2]>)> {
    let (n, width) = x.dims2()?;
    let device = x.device().as_cuda_device()?;
    let n_parts = n.div_ceil(ROWS_PER_BLOCK);
    let of_x = empty((n, width), x.dtype(), device)?;
    let partial = empty((n_parts, 2 * width), DType::F32, device)?;
    if n * width > 0 {
        let arguments = [
            address(x)?,
            address(weight)?,
            address(gradient)?,
            address(&of_x)?,
            address(&partial)?,
            size(n)?,
            size(width)?,
            size(ROWS_PER_BLOCK)?,
            number(eps),
        ];
        let kernel = kernel("backward", x, weight)?;
        KERNELS.launch(device, &kernel, blocks(n_parts, THREADS), &arguments)?;
    }
    if !is_trained {
        return Ok((of_x, None));
    }
    let both = sum_parts(&partial)?;
    Ok((of_x, Some([both.narrow(0, 0, width)?, both.narrow(0, width, width)?])))
}

fn kernel(direction: &str, x: &Tensor, weight: &Tensor) -> Result<String> {
    Ok(format!("layer_norm_{direction}_{}_{}", name_of(x.dtype())?, name_of(weight.dtype())?))
}
