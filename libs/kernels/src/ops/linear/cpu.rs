//! Products of views, in main memory.

use candle_core::{DType, Result, Tensor};
use half::bf16;

use super::Layer;
use crate::Backend;
use crate::autograd::BackwardPass;
use crate::cpu::{Element, add_to, for_rows, like, sum_rows, tensor, with_elements, with_values};
use crate::matmul::{How, Mat, MatMut, Write, product, product_each};
use crate::ops::nf4::few_rows;

/// Rows of x up to which a matrix of 4-bit numbers is read row by row while decoding.
const FEW_ROWS: usize = 16;

impl Layer {
    /// The outputs' rows of the weight, (outputs, in); those of 4-bit numbers in this type.
    fn rows_of_weight(&self, dtype: DType) -> Result<Tensor> {
        if let Some(matrix) = self.weight.nf4_value() {
            return matrix.rows(Backend::Cpu, self.outputs.clone(), dtype);
        }
        self.weight.matrix()?.narrow(0, self.outputs.start, self.outputs.len())?.contiguous()
    }
}

pub(super) fn forward(x: &Tensor, layer: &Layer, decoding: bool) -> Result<Tensor> {
    let how = How::PARALLEL.decoding(decoding);
    let values = match x.dtype() {
        DType::BF16 => forward_in::<bf16>(x, layer, how)?,
        _ => forward_in::<f32>(x, layer, how)?,
    };
    with_bias(values, x, layer)
}

fn forward_in<T: Element>(x: &Tensor, layer: &Layer, how: How) -> Result<Vec<f32>> {
    let (n, d_in) = x.dims2()?;
    let d_out = layer.outputs.len();
    if let Some(matrix) = layer.weight.nf4_value()
        && how.is_decoding()
        && n <= FEW_ROWS
    {
        return few_rows::<T>(x, matrix.parts(), layer.outputs.clone());
    }
    with_elements([x, &layer.rows_of_weight(x.dtype())?], |[x, weight]: [&[T]; 2]| {
        let x = Mat::new(x, n, d_in);
        let weight = Mat::new(weight, d_out, d_in);
        Ok(product(1.0, x, weight.t(), how))
    })
}

/// (N, outputs) of the product's values.
fn with_bias(mut values: Vec<f32>, x: &Tensor, layer: &Layer) -> Result<Tensor> {
    let n = x.dims2()?.0;
    let d_out = layer.outputs.len();
    if let Some(bias) = &layer.bias {
        with_values([&bias.tensor()?.contiguous()?], |[bias]| {
            let bias = &bias[layer.outputs.clone()];
            for_rows(
                &mut values,
                d_out,
                #[inline(always)]
                |_, row| add_to(row, bias),
            );
            Ok(())
        })?;
    }
    tensor(values, (n, d_out), x.dtype())
}

/// The results of whole layers computed together; nothing if some weight has to be converted first.
pub(super) fn forward_each<const N: usize>(
    x: &Tensor,
    layers: &[Layer; N],
) -> Result<Option<[Tensor; N]>> {
    let is_ready = |layer: &Layer| {
        layer.weight.tensor().is_ok_and(|weight| {
            weight.rank() == 2 && weight.dtype() == x.dtype() && weight.is_contiguous()
        })
    };
    if !layers.iter().all(is_ready) {
        return Ok(None);
    }
    let values = match x.dtype() {
        DType::BF16 => products::<bf16, N>(x, layers)?,
        _ => products::<f32, N>(x, layers)?,
    };
    let ys = values.into_iter().zip(layers).map(|(values, layer)| with_bias(values, x, layer));
    Ok(ys.collect::<Result<Vec<_>>>()?.try_into().ok())
}

/// x · Wᵀ for each weight.
fn products<T: Element, const N: usize>(x: &Tensor, layers: &[Layer; N]) -> Result<[Vec<f32>; N]> {
    let (n, d_in) = x.dims2()?;
    let mut weights = [x; N];
    for (weight, layer) in weights.iter_mut().zip(layers) {
        *weight = layer.weight.tensor()?;
    }
    with_elements([x], |[x]: [&[T]; 1]| {
        with_elements(weights, |values: [&[T]; N]| {
            let rhs = values.map(|values| Mat::new(values, values.len() / d_in, d_in).t());
            Ok(product_each(Mat::new(x, n, d_in), rhs, How::PARALLEL.decoding(true)))
        })
    })
}

/// The gradient of x, which is g · W for the gradient g of the result.
pub(super) fn gradient_of_x(x: &Tensor, layer: &Layer, gradient: &Tensor) -> Result<Tensor> {
    match x.dtype() {
        DType::BF16 => gradient_of_x_in::<bf16>(x, layer, gradient),
        _ => gradient_of_x_in::<f32>(x, layer, gradient),
    }
}

fn gradient_of_x_in<T: Element>(x: &Tensor, layer: &Layer, gradient: &Tensor) -> Result<Tensor> {
    let (n, d_in) = x.dims2()?;
    let d_out = layer.outputs.len();
    let values =
        with_elements([gradient, &layer.rows_of_weight(x.dtype())?], |[g, weight]: [&[T]; 2]| {
            let g = Mat::new(g, n, d_out);
            let weight = Mat::new(weight, d_out, d_in);
            Ok(product(1.0, g, weight, How::PARALLEL))
        })?;
    like(values, x)
}

/// gᵀ · x for the weight and the sum of the rows of g for the bias, where they are trained.
pub(super) fn add_gradients_of_weights(
    x: &Tensor,
    layer: &Layer,
    gradient: &Tensor,
    pass: &mut BackwardPass,
) -> Result<()> {
    let mut result = Ok(());
    pass.write_weight(&layer.weight, |sum, write| {
        result = match x.dtype() {
            DType::BF16 => add_gradient_of_weight::<bf16>(x, layer, gradient, sum, write),
            _ => add_gradient_of_weight::<f32>(x, layer, gradient, sum, write),
        };
    });
    result?;
    match layer.bias.as_ref().filter(|bias| bias.is_trainable()) {
        Some(bias) => {
            let mut sum = vec![0.0; bias.n_rows()];
            let of_part = with_values([gradient], |[g]| Ok(sum_rows(g, layer.outputs.len())))?;
            sum[layer.outputs.clone()].copy_from_slice(&of_part);
            pass.add_to_weight(bias, &Tensor::from_vec(sum, bias.dims(), x.device())?)
        }
        None => Ok(()),
    }
}

/// gᵀ · x into the outputs' rows of `sum`.
fn add_gradient_of_weight<T: Element>(
    x: &Tensor,
    layer: &Layer,
    gradient: &Tensor,
    sum: &mut [f32],
    mut write: Write,
) -> Result<()> {
    let (n, d_in) = x.dims2()?;
    let d_out = layer.outputs.len();
    if d_out < layer.weight.n_rows() && write == Write::Overwrite {
        sum.fill(0.0);
        write = Write::Add;
    }
    let rows = &mut sum[layer.outputs.start * d_in..layer.outputs.end * d_in];
    let out = MatMut::new(rows, d_out, d_in);
    with_elements([x, gradient], |[x, g]: [&[T]; 2]| {
        let g = Mat::new(g, n, d_out).t();
        let x = Mat::new(x, n, d_in);
        T::matmul(out, write, 1.0, g, x, How::PARALLEL);
        Ok(())
    })
}
