//! On an NVIDIA GPU, by the kernels in `cuda.cu`. The mask is never in memory; it is another one than the CPU's.

use candle_core::{Result, Tensor};

use crate::cuda::{Module, address, count, empty, flat, name_of, number, word};

const KERNELS: Module =
    Module { name: "dropout", ptx: include_str!(concat!(env!("OUT_DIR"), "/dropout.ptx")) };

/// x, or its gradient, with the values dropped that this seed drops.
pub(super) fn dropped(x: &Tensor, seed: u64, probability: f64) -> Result<Tensor> {
    let n = x.elem_count();
    let device = x.device().as_cuda_device()?;
    let y = empty(x.shape(), x.dtype(), device)?;
    if n > 0 {
        let limit = (probability * f64::from(u32::MAX)) as u32;
        let arguments = [
            address(x)?,
            address(&y)?,
            count(n),
            count(seed as usize),
            word(limit),
            number(1.0 / (1.0 - probability)),
        ];
        let kernel = format!("dropout_{}", name_of(x.dtype())?);
        KERNELS.launch(device, &kernel, flat(n.div_ceil(4)), &arguments)?;
    }
    Ok(y)
}
