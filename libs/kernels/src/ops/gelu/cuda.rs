//! On an NVIDIA GPU, by the kernels in `cuda.cu`.

use candle_core::{Result, Tensor};

use crate::cuda::{Module, address, count, empty, flat, name_of};

const KERNELS: Module =
    Module { name: "gelu", ptx: include_str!(concat!(env!("OUT_DIR"), "/gelu.ptx")) };

/// `function` is "gelu", "quick_gelu" or "gelu_tanh".
pub(super) fn forward(function: &str, x: &Tensor) -> Result<Tensor> {
    let y = empty(x.shape(), x.dtype(), x.device().as_cuda_device()?)?;
    if x.elem_count() > 0 {
        let kernel = format!("{function}_{}", name_of(x.dtype())?);
        let arguments = [address(x)?, address(&y)?, count(x.elem_count())];
        KERNELS.launch(x.device().as_cuda_device()?, &kernel, flat(x.elem_count()), &arguments)?;
    }
    Ok(y)
}

/// The gradient of x.
pub(super) fn backward(function: &str, x: &Tensor, gradient: &Tensor) -> Result<Tensor> {
    let n = x.elem_count();
    let device = x.device().as_cuda_device()?;
    let of_x = empty(x.shape(), x.dtype(), device)?;
    if n > 0 {
        let kernel = format!("{function}_{}_backward", name_of(x.dtype())?);
        let arguments = [address(x)?, address(gradient)?, address(&of_x)?, count(n)];
        KERNELS.launch(device, &kernel, flat(n), &arguments)?;
    }
    Ok(of_x)
}
