//! On an NVIDIA GPU, by the kernels in `cuda.cu`.

use candle_core::{Result, Tensor};

use super::Direction;
use crate::cuda::{Module, address, count, empty, flat, name_of, number, size};

const KERNELS: Module =
    Module { name: "rotary", ptx: include_str!(concat!(env!("OUT_DIR"), "/rotary.ptx")) };

pub(super) fn rotated(
    x: &Tensor,
    cos: &Tensor,
    sin: &Tensor,
    direction: Direction,
) -> Result<Tensor> {
    let (n, width) = x.dims2()?;
    let (_, half) = cos.dims2()?;
    let device = x.device().as_cuda_device()?;
    let y = empty((n, width), x.dtype(), device)?;
    if n * width > 0 {
        let sign = if direction == Direction::Back { -1.0 } else { 1.0 };
        let arguments = [
            address(x)?,
            address(cos)?,
            address(sin)?,
            address(&y)?,
            count(n),
            size(width / (2 * half))?,
            size(half)?,
            number(sign),
        ];
        let kernel = format!("rotary_{}", name_of(x.dtype())?);
        KERNELS.launch(device, &kernel, flat(n * width / 2), &arguments)?;
    }
    Ok(y)
}
