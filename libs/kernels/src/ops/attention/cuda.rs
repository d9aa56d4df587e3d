//! On an NVIDIA GPU, by the kernels in `cuda.cu`.

use candle_core::cuda_backend::cudarc::driver::LaunchConfig;
use candle_core::{CudaDevice, DType, Result, Tensor, bail};

use super::Shape;
use super::tables::LayoutTables;
use crate::cuda::{Argument, Module, address, count, empty, flat, name_of, number, size, upload};

const KERNELS: Module =
    Module { name: "attention", ptx: include_str!(concat!(env!("OUT_DIR"), "/attention.ptx")) };

const THREADS: u32 = 128;
/// Widths of a head that the tensor-core kernels are compiled for.
const WIDTHS: [usize; 5] = [32, 64, 80, 96, 128];
/// The widest head of all.
const WIDEST: usize = 256;
/// Keys and queries that the gradient of keys has in shared memory, twice each.
const SHARED_ROWS: usize = 2 * (64 + 32);
/// What rows in shared memory are apart besides their width.
const SHARED_GAP: usize = 8;

/// [`LayoutTables`] on the GPU.
#[derive(Debug)]
pub(crate) struct OnGpu {
    queries: Tensor,
    n_queries: usize,
    keys: Tensor,
    n_keys: usize,
    spans: Tensor,
    starts: Tensor,
    slots: Tensor,
    n_slots: usize,
}

impl OnGpu {
    fn new(tables: &LayoutTables, device: &CudaDevice) -> Result<Self> {
        Ok(Self {
            queries: upload(tables.queries.as_flattened(), device)?,
            n_queries: tables.queries.len(),
            keys: upload(tables.keys.as_flattened(), device)?,
            n_keys: tables.keys.len(),
            spans: upload(tables.spans.as_flattened(), device)?,
            starts: upload(&tables.starts, device)?,
            slots: upload(&tables.slots, device)?,
            n_slots: tables.n_slots,
        })
    }
}

/// The result and, for the backward pass, the logarithm of each query's sum of powers, (Q, heads) f32.
pub(super) fn forward([q, k, v]: [&Tensor; 3], shape: &Shape) -> Result<[Tensor; 2]> {
    let device = q.device().as_cuda_device()?;
    let tables = tables(shape, device)?;
    let (n, width) = q.dims2()?;
    let out = empty((n, width), q.dtype(), device)?;
    let lse = empty((n, shape.n_heads()), DType::F32, device)?;
    let kernel = format!("attention_forward_{}", shape.kernel(q.dtype())?);
    let operands = [
        address(q)?,
        address(k)?,
        address(v)?,
        address(&out)?,
        address(&lse)?,
        address(&tables.queries)?,
    ];
    launch(device, &kernel, tables.n_queries, 0, &operands, shape)?;
    Ok([out, lse])
}

/// Gradients of q, k and v.
pub(super) fn backward(
    [q, k, v]: [&Tensor; 3],
    [out, lse]: [&Tensor; 2],
    gradient: &Tensor,
    shape: &Shape,
) -> Result<[Tensor; 3]> {
    let device = q.device().as_cuda_device()?;
    let tables = tables(shape, device)?;
    let name = name_of(q.dtype())?;
    let kernel = shape.kernel(q.dtype())?;
    let n_rows = lse.elem_count();
    let delta = empty(lse.shape(), DType::F32, device)?;
    if n_rows > 0 {
        let operands = [address(out)?, address(gradient)?, address(&delta)?];
        let arguments = [&operands[..], &[count(n_rows), size(shape.head_dim)?]].concat();
        let products = format!("attention_products_{name}");
        KERNELS.launch(device, &products, flat(32 * n_rows), &arguments)?;
    }
    let inputs =
        [q, k, v, gradient, lse, &delta].map(address).into_iter().collect::<Result<Vec<_>>>()?;
    let of_q = empty(q.shape(), q.dtype(), device)?;
    let of_queries = [&inputs[..], &[address(&of_q)?, address(&tables.queries)?]].concat();
    let of = format!("attention_backward_queries_{kernel}");
    launch(device, &of, tables.n_queries, 0, &of_queries, shape)?;
    let partial = [(), ()].map(|()| empty((tables.n_slots, q.dim(1)?), DType::F32, device));
    let [partial_k, partial_v] = partial;
    let partial_k = partial_k?;
    let partial_v = partial_v?;
    let outputs = [&partial_k, &partial_v, &tables.keys, &tables.spans].map(address);
    let of_keys = [inputs, outputs.into_iter().collect::<Result<Vec<_>>>()?].concat();
    let of = format!("attention_backward_keys_{kernel}");
    let shared = match tile_width(shape.head_dim) {
        Some(width) if q.dtype() == DType::BF16 => SHARED_ROWS * (width + SHARED_GAP) * 2,
        _ => 0,
    };
    launch(device, &of, tables.n_keys, shared, &of_keys, shape)?;
    let sum = |partial: &Tensor| {
        let sum = empty(k.shape(), k.dtype(), device)?;
        let operands = [partial, &tables.starts, &tables.slots, &sum].map(address);
        let mut arguments = operands.into_iter().collect::<Result<Vec<_>>>()?;
        arguments.push(count(k.dim(0)?));
        arguments.extend(shape.sizes()?);
        let grid = flat(k.elem_count());
        KERNELS.launch(device, &format!("attention_sum_slots_{name}"), grid, &arguments)?;
        Ok::<_, candle_core::Error>(sum)
    };
    Ok([of_q, sum(&partial_k)?, sum(&partial_v)?])
}

fn tables<'a>(shape: &'a Shape, device: &CudaDevice) -> Result<&'a OnGpu> {
    shape.layout.on_gpu.get(|| OnGpu::new(&shape.layout.tables(), device))
}

fn launch(
    device: &CudaDevice,
    kernel: &str,
    n_tiles: usize,
    shared_bytes: usize,
    operands: &[Argument],
    shape: &Shape,
) -> Result<()> {
    if n_tiles == 0 {
        return Ok(());
    }
    let mut arguments = operands.to_vec();
    arguments.extend(shape.sizes()?);
    arguments.push(number(1.0 / (shape.head_dim as f64).sqrt()));
    let grid = LaunchConfig {
        grid_dim: (n_tiles as u32, shape.n_heads() as u32, 1),
        block_dim: (THREADS, 1, 1),
        shared_mem_bytes: shared_bytes as u32,
    };
    KERNELS.launch(device, kernel, grid, &arguments)
}

impl Shape {
    fn n_heads(&self) -> usize {
        self.n_kv_heads * self.repeats
    }

    fn sizes(&self) -> Result<[Argument; 3]> {
        Ok([size(self.n_heads())?, size(self.n_kv_heads)?, size(self.head_dim)?])
    }

    /// The end of the names of the kernels for a type.
    fn kernel(&self, dtype: DType) -> Result<String> {
        match head_kernel(dtype, self.head_dim)? {
            Some(kernel) => Ok(kernel),
            None => Ok(format!("{}_plain", name_of(dtype)?)),
        }
    }
}

/// The end of the names of the tensor-core kernels for heads of this width; nothing if there is none for them.
///
/// # Errors
/// Heads that are too wide for the other kernels too.
pub(crate) fn head_kernel(dtype: DType, head_dim: usize) -> Result<Option<String>> {
    match tile_width(head_dim).filter(|_| dtype == DType::BF16) {
        Some(width) => Ok(Some(format!("bf16_{width}"))),
        None if head_dim > WIDEST => {
            bail!("attention on a GPU takes heads up to {WIDEST} wide, got {head_dim}")
        }
        None => Ok(None),
    }
}

/// The width that a tensor-core kernel for these heads has; nothing if there is none.
fn tile_width(head_dim: usize) -> Option<usize> {
    let fits = |width: &usize| head_dim <= *width && head_dim.is_multiple_of(8);
    WIDTHS.into_iter().find(fits)
}
