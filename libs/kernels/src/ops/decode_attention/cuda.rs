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
    let shape = HeadShape::of(width, caches.prefix[0].dim(1)?, head_dim);
    let tables = layout.on_gpu(device, shape.n_kv_heads, shape.repeats())?;
    let out = empty((n, width), q.dtype(), device)?;
    if n == 0 {
        return Ok(out);
    }
    let by_pieces = shape.uses_tensor_cores(q.dtype())?;
    let room = || Room::new(n * tables.n_parts, width, shape.n_heads, device);
    let room = by_pieces.then(room).transpose()?;
    let tables = Tables {
        pieces: address(&tables.pieces)?,
        n_pieces: tables.n_pieces,
        rows: address(&tables.rows)?,
        n_parts: tables.n_parts,
    };
    launch(device, q, caches, shape, tables, room.as_ref(), (&out, n))?;
    Ok(out)
}

/// The heads of queries and keys.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeadShape {
    pub(crate) n_heads: usize,
    pub(crate) n_kv_heads: usize,
    pub(crate) head_dim: usize,
}

impl HeadShape {
    fn of(q_width: usize, kv_width: usize, head_dim: usize) -> Self {
        Self { n_heads: q_width / head_dim, n_kv_heads: kv_width / head_dim, head_dim }
    }

    /// Query heads that share a key head.
    pub(crate) fn repeats(self) -> usize {
        self.n_heads / self.n_kv_heads
    }

    /// Whether the kernel that works by pieces takes these heads.
    pub(crate) fn uses_tensor_cores(self, dtype: DType) -> Result<bool> {
        Ok(self.kernel(dtype)?.is_some())
    }

    fn kernel(self, dtype: DType) -> Result<Option<String>> {
        Ok(head_kernel(dtype, self.head_dim)?.filter(|_| self.repeats() <= MOST_REPEATS))
    }
}

/// Where the tables of a layout are on the GPU.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tables {
    /// Rows of [`DecodeTables::pieces`](super::DecodeTables).
    pub(crate) pieces: Argument,
    pub(crate) n_pieces: usize,
    /// Rows of [`DecodeTables::rows`](super::DecodeTables).
    pub(crate) rows: Argument,
    pub(crate) n_parts: usize,
}

/// Room for what the pieces give before it is put together.
#[derive(Debug)]
pub(crate) struct Room {
    sums: Tensor,
    stats: Tensor,
}

impl Room {
    /// For so many parts of rows in all.
    pub(crate) fn new(
        n_parts: usize,
        width: usize,
        n_heads: usize,
        device: &CudaDevice,
    ) -> Result<Self> {
        let sums = empty((n_parts, width), DType::F32, device)?;
        Ok(Self { sums, stats: empty((n_parts, n_heads, 2), DType::F32, device)? })
    }
}

/// Attention of the first `n` rows of q to `out`. The kernel that works by pieces needs the room.
pub(crate) fn launch(
    device: &CudaDevice,
    q: &Tensor,
    caches: Caches,
    shape: HeadShape,
    tables: Tables,
    room: Option<&Room>,
    (out, n): (&Tensor, usize),
) -> Result<()> {
    let [prefix, suffix] = [caches.prefix, caches.suffix];
    let inputs = [q, prefix[0], prefix[1], suffix[0], suffix[1]].map(address);
    let inputs = inputs.into_iter().collect::<Result<Vec<_>>>()?;
    let HeadShape { n_heads, n_kv_heads, head_dim } = shape;
    let sizes = [size(n_heads)?, size(n_kv_heads)?, size(head_dim)?];
    let scale = number(1.0 / (head_dim as f64).sqrt());
    let (Some(kernel), Some(Room { sums, stats })) = (shape.kernel(q.dtype())?, room) else {
        let arguments = [&inputs[..], &[address(out)?, tables.rows], &sizes, &[scale]].concat();
        let kernel = format!("decode_attention_{}_plain", name_of(q.dtype())?);
        return KERNELS.launch(device, &kernel, grid(n, n_heads, 32), &arguments);
    };
    let n_parts = size(tables.n_parts)?;
    let own: [Argument; 4] = [address(sums)?, address(stats)?, tables.pieces, n_parts];
    let arguments = [&inputs[..], &own, &sizes, &[scale]].concat();
    let kernel = format!("decode_attention_{kernel}");
    KERNELS.launch(device, &kernel, grid(tables.n_pieces, n_kv_heads, THREADS), &arguments)?;
    let arguments = [
        address(sums)?,
        address(stats)?,
        tables.rows,
        address(out)?,
        n_parts,
        size(n_heads)?,
        size(head_dim)?,
    ];
    KERNELS.launch(device, "decode_attention_combine", grid(n, n_heads, THREADS), &arguments)
}

fn grid(x: usize, y: usize, n_threads: usize) -> LaunchConfig {
    LaunchConfig {
        grid_dim: (x as u32, y as u32, 1),
        block_dim: (n_threads as u32, 1, 1),
        shared_mem_bytes: 0,
    }
}
