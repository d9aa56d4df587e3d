//! On an NVIDIA GPU: products by cuBLAS, what surrounds them by the kernels in `cuda.cu`. The gradient of a weight is
//! summed in f32, in the place where it stays.

use candle_core::{DType, Result, Tensor};

use super::Layer;
use crate::autograd::{BackwardPass, Node};
use crate::cuda::{
    Argument, Matrix, Module, Product, address, blocks, count, empty, flat, from_address, name_of,
    product, product_and_bias, size,
};
use crate::{Activation, Context, Weight};

const KERNELS: Module =
    Module { name: "linear", ptx: include_str!(concat!(env!("OUT_DIR"), "/linear.ptx")) };

const THREADS: usize = 128;
/// Rows that one block sums of a bias's gradient. Fixed, so that sums have one order on every GPU.
const ROWS_PER_PART: usize = 64;

/// A trained weight in the type to compute in, where the pass has it.
pub(super) fn narrow(context: &Context, weight: &Weight, x: &Activation) -> Result<Option<Tensor>> {
    let found = context.tape().zip(weight.variable());
    let narrow = found.and_then(|(tape, variable)| tape.narrow().get(variable).cloned());
    match narrow.filter(|narrow| narrow.dtype() == x.dtype()) {
        Some(narrow) if narrow.rank() != 2 => Ok(Some(narrow.flatten_from(1)?)),
        narrow => Ok(narrow),
    }
}

impl Layer {
    /// The weight as a matrix in the type to compute in.
    fn weight_like(&self, x: &Tensor) -> Result<Tensor> {
        match (&self.narrow, self.weight.nf4_value()) {
            (Some(narrow), _) => Ok(narrow.clone()),
            (None, Some(matrix)) => matrix.dequantize(x.dtype()),
            (None, None) => crate::ops::cast(&self.weight.matrix()?, x.dtype()),
        }
    }
}

pub(super) fn forward(x: &Tensor, layer: &Layer) -> Result<Tensor> {
    let n = x.dim(0)?;
    let d_out = layer.outputs.len();
    let device = x.device().as_cuda_device()?;
    let y = empty((n, d_out), x.dtype(), device)?;
    let bias = layer.bias.as_ref().filter(|_| n * d_out > 0).map(Weight::tensor).transpose()?;
    let Some(bias) = bias else {
        multiply(x, layer, &y, false)?;
        return Ok(y);
    };
    let weight = layer.weight_like(x)?;
    let task = product_of(x, layer, &weight, &y, false)?;
    if !product_and_bias(device, &task, bias, layer.outputs.start)? {
        product(device, &task)?;
        let names = (name_of(y.dtype())?, name_of(bias.dtype())?);
        let kernel = format!("linear_add_bias_{}_{}", names.0, names.1);
        let bias = from_address(bias, layer.outputs.start)?;
        let arguments = [address(&y)?, bias, count(n), size(d_out)?];
        KERNELS.launch(device, &kernel, flat(n * d_out), &arguments)?;
    }
    Ok(y)
}

/// Adds the product to y, in its memory.
pub(super) fn forward_onto(y: &Tensor, x: &Tensor, layer: &Layer) -> Result<Tensor> {
    multiply(x, layer, y, true)?;
    Ok(y.clone())
}

fn multiply(x: &Tensor, layer: &Layer, y: &Tensor, adds: bool) -> Result<()> {
    let weight = layer.weight_like(x)?;
    product(x.device().as_cuda_device()?, &product_of(x, layer, &weight, y, adds)?)
}

/// x · Wᵀ into y, for the layer's weight in the type to compute in.
fn product_of<'a>(
    x: &'a Tensor,
    layer: &Layer,
    weight: &'a Tensor,
    y: &'a Tensor,
    adds: bool,
) -> Result<Product<'a>> {
    let a = Matrix::whole(x)?;
    let b = Matrix::rows(weight, x.dim(1)?, layer.outputs.start, layer.outputs.len()).t();
    Ok(Product { a, b, to: Matrix::whole(y)?, adds, scale: layer.scale })
}

/// Adds the gradients of x and of the weights, as far as they have one.
pub(super) fn backward(
    x: &Tensor,
    layer: &Layer,
    gradient: &Tensor,
    to: Option<Node>,
    pass: &mut BackwardPass,
) -> Result<()> {
    if to.is_some() {
        match pass.own_sum(to) {
            Some(sum) => add_gradient_of_x(layer, gradient, &sum, true)?,
            None => {
                let device = gradient.device().as_cuda_device()?;
                let of_x = empty(x.dims(), gradient.dtype(), device)?;
                add_gradient_of_x(layer, gradient, &of_x, false)?;
                pass.add(to, of_x)?;
            }
        }
    }
    add_gradients_of_weights(x, layer, gradient, pass)
}

/// g · W for the gradient g of the result.
fn add_gradient_of_x(layer: &Layer, gradient: &Tensor, of_x: &Tensor, adds: bool) -> Result<()> {
    let d_out = gradient.dim(1)?;
    let weight = layer.weight_like(gradient)?;
    let a = Matrix::whole(gradient)?;
    let b = Matrix::rows(&weight, weight.dim(1)?, layer.outputs.start, d_out);
    let to = Matrix::whole(of_x)?;
    let device = gradient.device().as_cuda_device()?;
    product(device, &Product { a, b, to, adds, scale: layer.scale })
}

/// gᵀ · x for the weight and the sum of the rows of g for the bias, where they are trained.
fn add_gradients_of_weights(
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
        let b = Matrix::whole(x)?;
        product(device, &Product { a, b, to, adds: true, scale: layer.scale })?;
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
