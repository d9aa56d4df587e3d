//! On an NVIDIA GPU, by the kernels in `cuda.cu`.

use candle_core::{CudaDevice, DType, Device, Result, Tensor};

use super::Tap;
use crate::cuda::{Module, address, blocks, count, empty, name_of, size, upload};
use crate::ops::rows::sources_by_row;

const KERNELS: Module =
    Module { name: "mix_rows", ptx: include_str!(concat!(env!("OUT_DIR"), "/mix_rows.ptx")) };

const THREADS: usize = 128;
/// Blocks at most: enough to fill a GPU, each taking several rows.
const MAX_BLOCKS: usize = 4096;

pub(super) fn forward(table: &Tensor, taps: &[Tap], n_taps: usize, dtype: DType) -> Result<Tensor> {
    let (_, width) = table.dims2()?;
    let n = taps.len() / n_taps;
    let device = table.device().as_cuda_device()?;
    let y = empty((n, width), dtype, device)?;
    if n * width == 0 {
        return Ok(y);
    }
    let rows: Vec<u32> = taps.iter().map(|(row, _)| *row).collect();
    let (rows, shares) = (upload(&rows, device)?, shares(taps, device)?);
    let arguments = [
        address(table)?,
        address(&rows)?,
        address(&shares)?,
        address(&y)?,
        count(n),
        size(width)?,
        size(n_taps)?,
    ];
    let kernel = format!("mix_rows_{}_{}", name_of(table.dtype())?, name_of(dtype)?);
    KERNELS.launch(device, &kernel, blocks(n.min(MAX_BLOCKS), THREADS), &arguments)?;
    Ok(y)
}

/// Adds the gradient of the table to `sum`, f32, in the order of the taps.
pub(super) fn backward(gradient: &Tensor, taps: &[Tap], n_taps: usize, sum: &Tensor) -> Result<()> {
    let (_, width) = gradient.dims2()?;
    if taps.is_empty() || width == 0 {
        return Ok(());
    }
    let device = gradient.device().as_cuda_device()?;
    let (tables, n_named) = sources_by_row(taps.iter().map(|(row, _)| *row), device)?;
    let shares = shares(taps, device)?;
    let [of_named, of_starts, of_taps] = tables.each_ref().map(address);
    let arguments = [
        address(gradient)?,
        of_named?,
        of_starts?,
        of_taps?,
        address(&shares)?,
        address(sum)?,
        count(n_named),
        size(width)?,
        size(n_taps)?,
    ];
    let kernel = format!("mix_rows_scatter_{}", name_of(gradient.dtype())?);
    KERNELS.launch(device, &kernel, blocks(n_named.min(MAX_BLOCKS), THREADS), &arguments)
}

fn shares(taps: &[Tap], device: &CudaDevice) -> Result<Tensor> {
    let shares: Vec<f32> = taps.iter().map(|(_, share)| *share).collect();
    Tensor::new(shares, &Device::Cuda(device.clone()))
}
