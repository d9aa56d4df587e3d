//! On an NVIDIA GPU, by the kernels in `cuda.cu`.

use std::ops::Range;

use candle_core::cuda_backend::cudarc::driver::LaunchConfig;
use candle_core::{DType, Result, Tensor, bail};

use super::{Nf4Factors, Nf4Matrix, Nf4Parts};
use crate::cuda::{Module, address, count, empty, flat, name_of, none, size};

const KERNELS: Module =
    Module { name: "nf4", ptx: include_str!(concat!(env!("OUT_DIR"), "/nf4.ptx")) };

/// Outputs of a block of threads.
const TILE: usize = 16;
const THREADS: u32 = 128;
/// Inputs that the kernel for few rows takes at a time.
const CHUNK: usize = 64;

/// Rows of the matrix, (rows, columns), in f32 or bfloat16.
pub(super) fn rows(parts: &Nf4Parts, rows: Range<usize>, dtype: DType) -> Result<Tensor> {
    let width = parts.dims[1];
    let n = rows.len() * width;
    let device = parts.codes.device().as_cuda_device()?;
    let y = empty((rows.len(), width), dtype, device)?;
    if n > 0 {
        let arguments = [
            address(&parts.codes)?,
            address(plain(parts)?)?,
            address(&y)?,
            count(rows.start * width),
            count(n),
            size(parts.block)?,
        ];
        let kernel = format!("nf4_dequantize_{}", name_of(dtype)?);
        KERNELS.launch(device, &kernel, flat(n.div_ceil(8)), &arguments)?;
    }
    Ok(y)
}

/// A matrix of 4 bits with rows of bfloat16 behind it: first factors of adapters.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wide<'a> {
    /// (outputs, width)
    pub(crate) matrix: &'a Nf4Matrix,
    /// (inner values, width)
    pub(crate) inner: Option<&'a Tensor>,
}

impl Wide<'_> {
    /// Whether [`few_rows`] takes it.
    pub(crate) fn is_fit(&self) -> bool {
        let parts = self.matrix.parts();
        let inner = self.inner.is_none_or(|inner| inner.dtype() == DType::BF16);
        inner && parts.dims[1].is_multiple_of(CHUNK) && parts.block.is_multiple_of(CHUNK)
    }
}

/// The first `n` rows of x (…, width) times the matrix, transposed, to the first `n` rows of y (…, outputs and inner
/// values), in bfloat16.
pub(crate) fn few_rows(x: &Tensor, n: usize, by: Wide, y: &Tensor) -> Result<()> {
    let parts = by.matrix.parts();
    let [n_outputs, width] = parts.dims;
    let n_inner = by.inner.map_or(Ok(0), |inner| inner.dim(0))?;
    let n_rows = n_outputs + n_inner;
    if !by.is_fit() || x.dtype() != DType::BF16 || y.dtype() != DType::BF16 {
        bail!("nf4: rows of {:?} and a matrix ({n_rows}, {width})", x.dtype())
    }
    if n == 0 {
        return Ok(());
    }
    let tiles = n.div_ceil(8).next_power_of_two().min(8);
    let grid = LaunchConfig {
        grid_dim: (n_rows.div_ceil(TILE) as u32, n.div_ceil(8 * tiles) as u32, 1),
        block_dim: (THREADS, 1, 1),
        shared_mem_bytes: 0,
    };
    let arguments = [
        address(x)?,
        address(&parts.codes)?,
        address(plain(parts)?)?,
        by.inner.map_or_else(|| Ok(none()), address)?,
        address(y)?,
        size(n)?,
        size(width)?,
        size(n_outputs)?,
        size(n_rows)?,
        size(parts.block)?,
    ];
    let device = x.device().as_cuda_device()?;
    KERNELS.launch(device, &format!("nf4_few_rows_{tiles}"), grid, &arguments)
}

fn plain(parts: &Nf4Parts) -> Result<&Tensor> {
    match &parts.factors {
        Nf4Factors::Plain(factors) => Ok(factors),
        Nf4Factors::Quantized { .. } => bail!("nf4: on a GPU, factors are f32"),
    }
}
