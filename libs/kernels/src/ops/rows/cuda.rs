//! On an NVIDIA GPU, by the kernels in `cuda.cu`.

use std::collections::BTreeMap;

use candle_core::{CudaDevice, DType, Result, Tensor};

use crate::cuda::{
    Argument, Module, address, blocks, count, empty, flat, name_of, none, place_of, size, upload,
    upload_wide,
};

const KERNELS: Module =
    Module { name: "rows", ptx: include_str!(concat!(env!("OUT_DIR"), "/rows.ptx")) };

const THREADS: usize = 128;
/// Blocks at most: enough to fill a GPU, each taking several rows.
const MAX_BLOCKS: usize = 4096;
/// Values of which matrices begin at a multiple: 128 bytes.
const ALIGNED: usize = 64;
/// Marks a row that stays as it is.
const NONE: u32 = u32::MAX;

pub(super) fn select(table: &Tensor, rows: &[u32], dtype: DType) -> Result<Tensor> {
    let (_, width) = table.dims2()?;
    let device = table.device().as_cuda_device()?;
    let out = empty((rows.len(), width), dtype, device)?;
    let places = upload(rows, device)?;
    select_to(device, table, address(&places)?, rows.len(), &out)?;
    Ok(out)
}

/// As [`select`] of `n` rows whose numbers are on the GPU, to the first rows of `out`.
pub(crate) fn select_to(
    device: &CudaDevice,
    table: &Tensor,
    rows: Argument,
    n: usize,
    out: &Tensor,
) -> Result<()> {
    let (_, width) = table.dims2()?;
    let kernel = format!("rows_select_{}_{}", name_of(table.dtype())?, name_of(out.dtype())?);
    launch(device, &kernel, &[address(table)?, rows, address(out)?], (n, width))
}

/// The gradient of a matrix of `n` rows.
pub(super) fn select_backward(gradient: &Tensor, rows: &[u32], n: usize) -> Result<Tensor> {
    let (_, width) = gradient.dims2()?;
    let sum = Tensor::zeros((n, width), gradient.dtype(), gradient.device())?;
    scatter(gradient, rows, &sum)?;
    Ok(sum)
}

/// Adds each row of the gradient to the one that it was selected from, in the order in which they come.
pub(super) fn scatter(gradient: &Tensor, rows: &[u32], sum: &Tensor) -> Result<()> {
    let (_, width) = gradient.dims2()?;
    let device = gradient.device().as_cuda_device()?;
    let (tables, n_named) = sources_by_row(rows.iter().copied(), device)?;
    let kernel = format!("rows_scatter_{}_{}", name_of(gradient.dtype())?, name_of(sum.dtype())?);
    let [of_rows, of_starts, of_sources] = tables.each_ref().map(address);
    let arguments = [address(gradient)?, of_rows?, of_starts?, of_sources?, address(sum)?];
    launch(device, &kernel, &arguments, (n_named, width))
}

/// For rows of which some are named several times, on the GPU: the rows that are named, where the sources of each begin, and
/// the sources, which are places in `rows`; with the number of named rows.
pub(crate) fn sources_by_row(
    rows: impl IntoIterator<Item = u32>,
    device: &CudaDevice,
) -> Result<([Tensor; 3], usize)> {
    let mut by_row: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for (source, row) in (0..).zip(rows) {
        by_row.entry(row).or_default().push(source);
    }
    let named: Vec<u32> = by_row.keys().copied().collect();
    let mut starts = vec![0u32];
    let mut sources = Vec::new();
    for of_row in by_row.into_values() {
        sources.extend(of_row);
        starts.push(sources.len() as u32);
    }
    let tables = [upload(&named, device)?, upload(&starts, device)?, upload(&sources, device)?];
    Ok((tables, named.len()))
}

pub(super) fn replace(x: &Tensor, new: &Tensor, places: &[usize]) -> Result<Tensor> {
    let device = x.device().as_cuda_device()?;
    let sources = sources(x.dim(0)?, places, device)?;
    replaced(x, Some(new), &sources)
}

/// Gradients of x and of the new rows.
pub(super) fn replace_backward(gradient: &Tensor, places: &[usize]) -> Result<[Tensor; 2]> {
    let device = gradient.device().as_cuda_device()?;
    let sources = sources(gradient.dim(0)?, places, device)?;
    let rows: Vec<u32> = places.iter().map(|place| *place as u32).collect();
    Ok([replaced(gradient, None, &sources)?, select(gradient, &rows, gradient.dtype())?])
}

/// For each of `n` rows the new one that takes its place.
fn sources(n: usize, places: &[usize], device: &CudaDevice) -> Result<Tensor> {
    let mut sources = vec![NONE; n];
    for (source, place) in (0..).zip(places) {
        sources[*place] = source;
    }
    upload(&sources, device)
}

fn replaced(x: &Tensor, new: Option<&Tensor>, sources: &Tensor) -> Result<Tensor> {
    let (n, width) = x.dims2()?;
    let device = x.device().as_cuda_device()?;
    let out = empty((n, width), x.dtype(), device)?;
    let new = new.map_or_else(|| Ok(none()), address)?;
    let kernel = format!("rows_replace_{}", name_of(x.dtype())?);
    launch(device, &kernel, &[address(x)?, new, address(sources)?, address(&out)?], (n, width))?;
    Ok(out)
}

pub(crate) fn put(table: &Tensor, new: &Tensor, places: &Tensor) -> Result<()> {
    let kernel = format!("rows_put_{}", name_of(table.dtype())?);
    let arguments = [address(table)?, address(new)?, address(places)?];
    launch(table.device().as_cuda_device()?, &kernel, &arguments, new.dims2()?)
}

pub(super) fn cast(x: &Tensor, dtype: DType) -> Result<Tensor> {
    let n = x.elem_count();
    let device = x.device().as_cuda_device()?;
    let y = empty(x.shape(), dtype, device)?;
    if n > 0 {
        let kernel = format!("convert_{}_{}", name_of(x.dtype())?, name_of(dtype)?);
        KERNELS.launch(device, &kernel, flat(n), &[address(x)?, address(&y)?, count(n)])?;
    }
    Ok(y)
}

/// Blocks that a tensor of many has.
const BLOCKS_PER_TENSOR: usize = 16;

/// The values of many f32 tensors in bfloat16, by one launch.
pub(crate) fn narrow_all(tensors: &[&Tensor]) -> Result<Vec<Tensor>> {
    let Some(first) = tensors.first() else { return Ok(Vec::new()) };
    let device = first.device().as_cuda_device()?;
    let mut table = Vec::with_capacity(tensors.len());
    let mut n_values = 0;
    for tensor in tensors {
        let n = tensor.elem_count();
        table.push([place_of(tensor)?, n_values as u64, n as u64]);
        // Each begins where a matrix may.
        n_values += n.next_multiple_of(ALIGNED);
    }
    let all = empty(n_values, DType::BF16, device)?;
    let on_gpu = upload_wide(table.as_flattened(), device)?;
    let arguments = [address(&on_gpu)?, address(&all)?];
    let mut grid = blocks(BLOCKS_PER_TENSOR, THREADS);
    grid.grid_dim.1 = tensors.len() as u32;
    KERNELS.launch(device, "convert_all_f32_bf16", grid, &arguments)?;
    let of = tensors.iter().zip(&table).map(|(tensor, [_, start, n])| {
        all.narrow(0, *start as usize, *n as usize)?.reshape(tensor.dims())
    });
    of.collect()
}

/// With a block for each of `n` rows.
fn launch(
    device: &CudaDevice,
    kernel: &str,
    arguments: &[Argument],
    (n, width): (usize, usize),
) -> Result<()> {
    if n * width == 0 {
        return Ok(());
    }
    let arguments = [arguments, &[count(n), size(width)?]].concat();
    KERNELS.launch(device, kernel, blocks(n.min(MAX_BLOCKS), THREADS), &arguments)
}
