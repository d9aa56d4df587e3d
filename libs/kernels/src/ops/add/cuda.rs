//! On an NVIDIA GPU, by the kernels in `cuda.cu`.

use candle_core::{Result, Tensor};

use crate::cuda::{Module, address, count, empty, flat, name_of};

const KERNELS: Module =
    Module { name: "add", ptx: include_str!(concat!(env!("OUT_DIR"), "/add.ptx")) };

/// `a + b`, both of one shape and type.
pub(super) fn add(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let y = empty(a.shape(), a.dtype(), a.device().as_cuda_device()?)?;
    sum(a, b, &y)?;
    Ok(y)
}

/// `a += b`, of one shape, in the memory of `a`, which is f32 or of the type of `b`.
pub(crate) fn add_in_place(a: &Tensor, b: &Tensor) -> Result<()> {
    sum(a, b, a)
}

fn sum(a: &Tensor, b: &Tensor, y: &Tensor) -> Result<()> {
    let n = a.elem_count();
    if n == 0 {
        return Ok(());
    }
    let kernel = format!("add_{}_{}", name_of(a.dtype())?, name_of(b.dtype())?);
    let arguments = [address(a)?, address(b)?, address(y)?, count(n)];
    KERNELS.launch(a.device().as_cuda_device()?, &kernel, flat(n), &arguments)
}
