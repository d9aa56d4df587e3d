//! On an NVIDIA GPU, by the kernels in `cuda.cu`.

use candle_core::{Result, Tensor};

use crate::cuda::{Module, address, count, empty, flat, name_of, number};

const KERNELS: Module =
    Module { name: "scale", ptx: include_str!(concat!(env!("OUT_DIR"), "/scale.ptx")) };

pub(super) fn scaled(x: &Tensor, factor: f64) -> Result<Tensor> {
    let n = x.elem_count();
    let device = x.device().as_cuda_device()?;
    let y = empty(x.shape(), x.dtype(), device)?;
    if n > 0 {
        let arguments = [address(x)?, address(&y)?, count(n), number(factor)];
        let kernel = format!("scale_{}", name_of(x.dtype())?);
        KERNELS.launch(device, &kernel, flat(n), &arguments)?;
    }
    Ok(y)
}
