//! On an NVIDIA GPU, by the kernels in `cuda.cu`.

use candle_core::{Result, Tensor};

use crate::cuda::{Module, address, count, empty, flat, name_of};

const KERNELS: Module =
    Module { name: "swiglu", ptx: include_str!(concat!(env!("OUT_DIR"), "/swiglu.ptx")) };

pub(super) fn forward(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    let n = gate.elem_count();
    let device = gate.device().as_cuda_device()?;
    let y = empty(gate.shape(), gate.dtype(), device)?;
    if n > 0 {
        let arguments = [address(gate)?, address(up)?, address(&y)?, count(n)];
        let kernel = format!("swiglu_{}", name_of(gate.dtype())?);
        KERNELS.launch(device, &kernel, flat(n), &arguments)?;
    }
    Ok(y)
}

/// Gradients of gate and up.
pub(super) fn backward(gate: &Tensor, up: &Tensor, gradient: &Tensor) -> Result<[Tensor; 2]> {
    let n = gate.elem_count();
    let device = gate.device().as_cuda_device()?;
    let of_gate = empty(gate.shape(), gate.dtype(), device)?;
    let of_up = empty(up.shape(), up.dtype(), device)?;
    if n > 0 {
        let arguments = [
            address(gate)?,
            address(up)?,
            address(gradient)?,
            address(&of_gate)?,
            address(&of_up)?,
            count(n),
        ];
        let kernel = format!("swiglu_backward_{}", name_of(gate.dtype())?);
        KERNELS.launch(device, &kernel, flat(n), &arguments)?;
    }
    Ok([of_gate, of_up])
}
