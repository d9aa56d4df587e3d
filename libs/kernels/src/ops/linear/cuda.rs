//! On an NVIDIA GPU: products by cuBLAS, what surrounds them by the kernels in `cuda.cu`. The gradient of a weight is
//! summed in f32, in the place where it stays.

use candle_core::{DType, Result, Tensor};

use super::Layer;
use crate::autograd::BackwardPass;
use crate::cuda::{
    Argument, Matrix, Module, Product, address, blocks, count, empty, flat, from_address, name_of,
    product, size,
};

const KERNELS: Module =
    Module { name: "linear", ptx: include_str!(concat!(env!("OUT_DIR"), "/linear.ptx")) };

const THREADS: usize = 128;
/// Rows that one block sums of a bias's gradient. Fixed, so that sums have one order on every GPU.
const ROWS_PER_PART: usize = 64;

impl Layer {
    /// The weight as a matrix in the type to compute in.
    fn weight_like(&self, x: &Tensor) -> Result<Tensor> {
        crate::ops::cast(&self.weight.matrix()?, x.dtype())
    }
}

pub(super) fn forward(x: &Tensor, layer: &Layer) -> Result<Tensor> {
    let (n, d_in) = x.dims2()?;
    let d_out = layer.outputs.len();
    let device = x.device().as_cuda_device()?;
    let y = empty((n, d_out), x.dtype(), device)?;
    let weight = layer.weight_like(x)?;
    let a = Matrix::whole(x)?;
    let b = Matrix::rows(&weight, d_in, layer.outputs.start, d_out).t();
    product(device, &Product { a, b, to: Matrix::whole(&y)?, adds: false })?;
    if let Some(bias) = layer.bias.as_ref().filter(|_| n * d_out > 0) {
        let bias = bias.tensor();
        let kernel = format!("linear_add_bias_{}_{}", name_of(y.dtype())?, name_of(bias.dtype())?);
        let bias = from_address(bias, layer.outputs.start)?;
        let arguments = [address(&y)?, bias, count(n), size(d_out)?];
        KERNELS.launch(device, &kernel, flat(n * d_out), &arguments)?;
    }
    Ok(y)
}

/// The gradient of x, which is g · W for the gradient g of the result.
pub(super) fn gradient_of_x(layer: &Layer, gradient: &Tensor) -> Result<Tensor> {
    let (n, d_out) = gradient.dims2()?;
    let weight = layer.weight_like(gradient)?;
    let d_in = weight.dim(1)?;
    let device = gradient.device().as_cuda_device()?;
    let of_x = empty((n, d_in), gradient.dtype(), device)?;
    let b = Matrix::rows(&weight, d_in, layer.outputs.start, d_out);
    let a = Matrix::whole(gradient)?;
    let to = Matrix::whole(&of_x)?;
    product(device, &Product { a, b, to, adds: false })?;
    Ok(of_x)
}

/// gᵀ · x for the weight and the sum of the rows of g for the bias, where they are trained.
pub(super) fn add_gradients_of_weights(
    x: &Tensor,
    layer: &Layer,
    gradient: &Tensor,
    pass: &mut BackwardPass,
) -> Result<()> {
    let device = x.device().as_cuda_device()?;
    let d_in = x.dim(1)?;
    let outputs = &layer.outputs;
    if let Some(sum) = pass.sum_of(&layer.weight)? {
        let a = Matrix::whole(gradient)?.t();
        let to = Matrix::rows(&sum, d_in, outputs.start, outputs.len());
        product(device, &Product { a, b: Matrix::whole(x)?, to, adds: true })?;
    }
    let Some(bias) = &layer.bias else { return Ok(()) };
    match pass.sum_of(bias)? {
        Some(sum) => add_parts(&row_sums(gradient)?, from_address(&sum, outputs.start)?, true),
        None => Ok(()),
    }
}

/// Sums of some rows each of x (N, D): (parts, D).
fn row_sums(x: &Tensor) -> Result<Tensor> {
    let (n, width) = x.dims2()?;
    let device = x.device().as_cuda_device()?;
    let n_parts = n.div_ceil(ROWS_PER_PART);
    let partial = empty((n_parts, width), DType::F32, device)?;
    if n * width > 0 {
        let mut grid = blocks(width.div_ceil(THREADS), THREADS);
        grid.grid_dim.1 = n_parts as u32;
        let arguments =
            [address(x)?, address(&partial)?, size(n)?, size(width)?, size(ROWS_PER_PART)?];
        let kernel = format!("linear_sum_rows_{}", name_of(x.dtype())?);
        KERNELS.launch(device, &kernel, grid, &arguments)?;
    }
    Ok(partial)
}

/// The sum (D) of parts (parts, D), f32, in their order.
pub(crate) fn sum_parts(partial: &Tensor) -> Result<Tensor> {
    let sum = empty(partial.dim(1)?, DType::F32, partial.device().as_cuda_device()?)?;
    add_parts(partial, address(&sum)?, false)?;
    Ok(sum)
}

fn add_parts(partial: &Tensor, sum: Argument, adds: bool) -> Result<()> {
    let (n_parts, width) = partial.dims2()?;
    if width == 0 {
        return Ok(());
    }
    let arguments =
        [address(partial)?, sum, size(n_parts)?, size(width)?, size(usize::from(adds))?];
    let grid = blocks(width.div_ceil(THREADS), THREADS);
    KERNELS.launch(partial.device().as_cuda_device()?, "sum_parts", grid, &arguments)
}
