//! On an NVIDIA GPU, by the kernels in `cuda.cu`.

use candle_core::cuda_backend::cudarc::driver::LaunchConfig;
use candle_core::{CudaDevice, DType, Result, Tensor};

use super::{Caches, DecodeLayout};
use crate::cuda::{Argument, Module, address, empty, name_of, number, size, upload};
use crate::ops::attention::head_kernel;

const KERNELS: Module = Module {
    name: "decode_attention",
    ptx: include_str!(concat!(env!("OUT_DIR"), "/decode_attention.ptx")),
};

const THREADS: usize = 128;
/// Queries that the tensor-core kernel takes of one row.
const MOST_REPEATS: usize = 64;

/// [`DecodeTables`](super::DecodeTables) on the GPU.
#[derive(Debug)]
pub(crate) struct OnGpu {
    pieces: Tensor,
    n_pieces: usize,
    rows: Tensor,
    n_parts: usize,
}

impl DecodeLayout {
    /// Where each row's newest key goes, on the GPU.
    pub(super) fn newest_on_gpu(&self, device: &CudaDevice) -> Result<&Tensor> {
        self.newest_on_gpu
            .get(|| upload(&self.newest().map(|place| place as u32).collect::<Vec<_>>(), device))
    }

    /// Its tables on the GPU, made for the first layer of a step and used by all.
    fn on_gpu(&self, device: &CudaDevice, n_kv_heads: usize, repeats: usize) -> Result<&OnGpu> {
        self.on_gpu.get(|| {
            let tables = self.tables(n_kv_heads, repeats);
            Ok(OnGpu {
                pieces: upload(tables.pieces.as_flattened(), device)?,
                n_pieces: tables.pieces.len(),
                rows: upload(tables.rows.as_flattened(), device)?,
                n_parts: tables.n_parts,
            })
        })
    }
}

pub(super) fn forward(
    q: &Tensor,
    caches: Caches,
    head_dim: usize,
    layout: &DecodeLayout,
) -> Result<Tensor> {
    let device = q.device().as_cuda_device()?;
    let (n, width) = q.dims2()?;
    let kv_width = caches.prefix[0].dim(1)?;
    let n_heads = width / head_dim;
    let n_kv_heads = kv_width / head_dim;
    let repeats = n_heads / n_kv_heads;
    let tables = layout.on_gpu(device, n_kv_heads, repeats)?;
    let out = empty((n, width), q.dtype(), device)?;
    if n == 0 {
        return Ok(out);
    }
    let [prefix, suffix] = [caches.prefix, caches.suffix];
    let inputs = [q, prefix[0], prefix[1], suffix[0], suffix[1]].map(address);
    let inputs = inputs.into_iter().collect::<Result<Vec<_>>>()?;
    let sizes = [size(n_heads)?, size(n_kv_heads)?, size(head_dim)?];
    let scale = number(1.0 / (head_dim as f64).sqrt());
    let Some(kernel) = head_kernel(q.dtype(), head_dim)?.filter(|_| repeats <= MOST_REPEATS) else {
        let arguments =
            [&inputs[..], &[address(&out)?, address(&tables.rows)?], &sizes, &[scale]].concat();
        let kernel = format!("decode_attention_{}_plain", name_of(q.dtype())?);
        KERNELS.launch(device, &kernel, grid(n, n_heads, 32), &arguments)?;
        return Ok(out);
    };
    let n_parts = tables.n_parts;
    let sums = empty((n * n_parts, width), DType::F32, device)?;
    let stats = empty((n * n_parts, n_heads, 2), DType::F32, device)?;
    let own: [Argument; 4] =
        [address(&sums)?, address(&stats)?, address(&tables.pieces)?, size(n_parts)?];
    let arguments = [&inputs[..], &own, &sizes, &[scale]].concat();
    let kernel = format!("decode_attention_{kernel}");
    KERNELS.launch(device, &kernel, grid(tables.n_pieces, n_kv_heads, THREADS), &arguments)?;
    let arguments = [
        address(&sums)?,
        address(&stats)?,
        address(&tables.rows)?,
        address(&out)?,
        size(n_parts)?,
        size(n_heads)?,
        size(head_dim)?,
    ];
    KERNELS.launch(device, "decode_attention_combine", grid(n, n_heads, THREADS), &arguments)?;
    Ok(out)
}

fn grid(x: usize, y: usize, n_threads: usize) -> LaunchConfig {
    LaunchConfig {
        grid_dim: (x as u32, y as u32, 1),
        block_dim: (n_threads as u32, 1, 1),
        shared_mem_bytes: 0,
    }
}
