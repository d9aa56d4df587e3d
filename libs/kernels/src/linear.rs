//! The linear layer: `x · Wᵀ + b`.

mod composed;

use std::ops::Range;

use candle_core::{CpuStorage, CustomOp2, CustomOp3, DType, Layout, Result, Shape, Tensor, bail};
use half::bf16;

use crate::buffer::{
    self, dims2, for_rows, output, sum_rows, unset, values, with_elements, with_values,
};
use crate::element::Element;
use crate::matmul::{Mat, MatMut, Write, matmul_each};
use crate::path::is_decoding;
use crate::tape;

/// `x · weightᵀ + bias`: x (N, in), weight (out, in), bias (out), result (N, out) in the type of x.
///
/// The gradients are strided products, g · W and gᵀ · x, where candle's would copy transposes; the gradient
/// of an operand that nothing trains is not computed.
///
/// # Errors
/// Shapes that do not fit.
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let n_outputs = weight.dim(0)?;
    linear_part(x, weight, bias, 0..n_outputs)
}

/// As [`linear`], with these outputs alone: (N, outputs). The weight may have more axes than two; all but the
/// first are one.
///
/// # Errors
/// Shapes that do not fit.
pub fn linear_part(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    outputs: Range<usize>,
) -> Result<Tensor> {
    let n_outputs = weight.dim(0)?;
    if let Some(n_biases) = bias.map(|b| b.elem_count()).filter(|n| *n != n_outputs) {
        bail!("linear: bias should have {n_outputs} values, got {n_biases}")
    }
    if !buffer::fused(&[x, weight]) {
        return match tape::is_recording() {
            true => composed::recorded(x, weight, bias, outputs),
            false => composed::forward(x, weight, bias, &outputs),
        };
    }
    let x = x.contiguous()?;
    if tape::is_recording() {
        return recorded(&x, weight, bias, outputs);
    }
    let (start, len) = (outputs.start, outputs.len());
    let weight = flat(weight)?.narrow(0, start, len)?.contiguous()?;
    match bias {
        Some(bias) => x.apply_op3(&weight, &bias.narrow(0, start, len)?.contiguous()?, Linear),
        None => x.apply_op2(&weight, Linear),
    }
}

/// As [`linear`] of one x by several layers, each a weight and its bias.
///
/// While decoding, a layer of few rows is read faster than threads agree on who does what: those that can be
/// computed together are.
///
/// # Errors
/// Shapes that do not fit.
pub fn linears<const N: usize>(
    x: &Tensor,
    layers: [(&Tensor, Option<&Tensor>); N],
) -> Result<[Tensor; N]> {
    let mut ys = Vec::with_capacity(N);
    let tracked = |t: &Tensor| t.track_op();
    let weights = layers.map(|(weight, _)| weight);
    let is_plain = !tape::is_recording() && !tracked(x) && !weights.into_iter().any(tracked);
    let same_type = weights.iter().all(|w| w.dtype() == x.dtype() && w.is_contiguous());
    let fits = weights.iter().all(|w| w.rank() == 2) && same_type && buffer::fused(&[x]);
    if is_plain && fits && is_decoding() {
        let values = match x.dtype() {
            DType::BF16 => products::<bf16, N>(&x.contiguous()?, weights)?,
            _ => products::<f32, N>(&x.contiguous()?, weights)?,
        };
        for (mut values, (weight, bias)) in values.into_iter().zip(layers) {
            let n_outputs = weight.dim(0)?;
            if let Some(bias) = bias {
                with_values([bias], |[bias]| {
                    for_rows(
                        &mut values,
                        n_outputs,
                        #[inline(always)]
                        |_, row| buffer::add(row, bias),
                    );
                    Ok(())
                })?;
            }
            ys.push(buffer::tensor(values, (x.dim(0)?, n_outputs), x.dtype())?);
        }
    } else {
        for (weight, bias) in layers {
            ys.push(linear(x, weight, bias)?);
        }
    }
    let Ok(ys) = ys.try_into() else { bail!("linears: a layer without result") };
    Ok(ys)
}

/// x · Wᵀ for each weight.
fn products<T: Element, const N: usize>(
    x: &Tensor,
    weights: [&Tensor; N],
) -> Result<[Vec<f32>; N]> {
    let (n, d_in) = x.dims2()?;
    if let Some(other) = weights.iter().find(|w| w.dims()[1] != d_in) {
        bail!("linears: weight is {:?}, x is ({n}, {d_in})", other.dims())
    }
    let mut ys = weights.map(|weight| unset(n * weight.dims()[0]));
    with_elements([x], |[x]: [&[T]; 1]| {
        with_elements(weights, |values: [&[T]; N]| {
            let rhs = values.map(|values| Mat::new(values, values.len() / d_in, d_in).t());
            let outs = ys.each_mut().map(|y| {
                let d_out = y.len() / n;
                MatMut::new(y, n, d_out)
            });
            matmul_each(outs, Mat::new(x, n, d_in), rhs);
            Ok(())
        })
    })?;
    Ok(ys)
}

/// All axes but the first as one.
fn flat(weight: &Tensor) -> Result<Tensor> {
    match weight.rank() {
        2 => Ok(weight.clone()),
        _ => weight.flatten_from(1),
    }
}

fn recorded(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    outputs: Range<usize>,
) -> Result<Tensor> {
    let (start, len) = (outputs.start, outputs.len());
    // Weights are leaves: a part of one is named by the whole and its outputs.
    let part = |t: &Tensor| t.detach().narrow(0, start, len);
    let detached = (part(&flat(&weight.detach())?)?, bias.map(part).transpose()?);
    let y = match &detached.1 {
        Some(bias) => x.detach().apply_op3_no_bwd(&detached.0, bias, &Linear)?,
        None => x.detach().apply_op2_no_bwd(&detached.0, &Linear)?,
    };
    let (from, weight, bias) = (x.clone(), weight.clone(), bias.cloned());
    let inputs: Vec<Tensor> = [x, &weight].into_iter().chain(&bias).cloned().collect();
    let inputs: Vec<&Tensor> = inputs.iter().collect();
    tape::note(&inputs, &y, move |grad, adjoints| {
        let (part, _) = &detached;
        if adjoints.wants(&from) {
            adjoints.add(&from, Some(grad_of_x(&from, part, grad)?))?;
        }
        if adjoints.wants(&weight) {
            if !weight.is_variable() {
                let mut sum = vec![0.0; weight.elem_count()];
                let d_in = sum.len() / weight.dim(0)?;
                let of_part = &mut sum[start * d_in..(start + len) * d_in];
                grad_of_weight(&from, grad, of_part, Write::Overwrite)?;
                adjoints.add(&weight, Some(buffer::like(sum, &weight)?))?;
            } else {
                let whole = len == weight.dim(0)?;
                let mut result = Ok(());
                adjoints.weight(&weight, |sum, mut write| {
                    if !whole && write == Write::Overwrite {
                        sum.fill(0.0);
                        write = Write::Add;
                    }
                    let d_in = sum.len() / weight.dims()[0];
                    let of_part = &mut sum[start * d_in..(start + len) * d_in];
                    result = grad_of_weight(&from, grad, of_part, write);
                });
                result?;
            }
        }
        match bias.filter(|bias| adjoints.wants(bias)) {
            Some(bias) => {
                let mut sum = vec![0.0; bias.elem_count()];
                let of_part = with_values([grad], |[grad]| Ok(sum_rows(grad, len)))?;
                sum[start..start + len].copy_from_slice(&of_part);
                adjoints.add(&bias, Some(buffer::like(sum, &bias)?))
            }
            None => Ok(()),
        }
    })?;
    Ok(y)
}

struct Linear;

impl Linear {
    fn forward(
        (x, x_layout): (&CpuStorage, &Layout),
        (weight, weight_layout): (&CpuStorage, &Layout),
        bias: Option<&[f32]>,
    ) -> Result<(CpuStorage, Shape)> {
        let ((n, d_in), (d_out, weight_in)) = (dims2(x_layout)?, dims2(weight_layout)?);
        if d_in != weight_in {
            bail!("linear: weight is ({d_out}, {weight_in}), x is ({n}, {d_in})")
        }
        let mut y = unset(n * d_out);
        let into = MatMut::new(&mut y, n, d_out);
        let dtype = candle_core::backend::BackendStorage::dtype(x);
        let operands = [(x, x_layout), (weight, weight_layout)];
        match dtype {
            DType::BF16 => product::<bf16>(into, operands)?,
            _ => product::<f32>(into, operands)?,
        }
        if let Some(bias) = bias {
            for_rows(
                &mut y,
                d_out,
                #[inline(always)]
                |_, row| buffer::add(row, bias),
            );
        }
        Ok(output(y, (n, d_out), dtype))
    }
}

/// x · Wᵀ into `out`.
fn product<T: Element>(
    out: MatMut,
    [(x, x_layout), (weight, weight_layout)]: [(&CpuStorage, &Layout); 2],
) -> Result<()> {
    let ((n, d_in), (d_out, _)) = (dims2(x_layout)?, dims2(weight_layout)?);
    let (x, weight) = (T::values(x, x_layout)?, T::values(weight, weight_layout)?);
    let (x, weight) = (Mat::new(&x, n, d_in), Mat::new(&weight, d_out, d_in).t());
    T::matmul(out, Write::Overwrite, 1.0, x, weight, true);
    Ok(())
}

/// g · W.
fn grad_of_x(x: &Tensor, weight: &Tensor, grad: &Tensor) -> Result<Tensor> {
    match x.dtype() {
        DType::BF16 => grad_of_x_in::<bf16>(x, weight, grad),
        _ => grad_of_x_in::<f32>(x, weight, grad),
    }
}

fn grad_of_x_in<T: Element>(x: &Tensor, weight: &Tensor, grad: &Tensor) -> Result<Tensor> {
    let ((n, d_in), (d_out, _)) = (x.dims2()?, weight.dims2()?);
    let mut out = unset(n * d_in);
    let into = MatMut::new(&mut out, n, d_in);
    with_elements([grad, weight], |[grad, weight]: [&[T]; 2]| {
        let (grad, weight) = (Mat::new(grad, n, d_out), Mat::new(weight, d_out, d_in));
        T::matmul(into, Write::Overwrite, 1.0, grad, weight, true);
        Ok(())
    })?;
    buffer::like(out, x)
}

/// gᵀ · x into `out`.
fn grad_of_weight(x: &Tensor, grad: &Tensor, out: &mut [f32], write: Write) -> Result<()> {
    match x.dtype() {
        DType::BF16 => grad_of_weight_in::<bf16>(x, grad, out, write),
        _ => grad_of_weight_in::<f32>(x, grad, out, write),
    }
}

fn grad_of_weight_in<T: Element>(
    x: &Tensor,
    grad: &Tensor,
    out: &mut [f32],
    write: Write,
) -> Result<()> {
    let ((n, d_in), (_, d_out)) = (x.dims2()?, grad.dims2()?);
    let into = MatMut::new(out, d_out, d_in);
    with_elements([x, grad], |[x, grad]: [&[T]; 2]| {
        let (grad, x) = (Mat::new(grad, n, d_out).t(), Mat::new(x, n, d_in));
        T::matmul(into, write, 1.0, grad, x, true);
        Ok(())
    })
}

/// Gradients of x and of the weight.
fn backward(
    x: &Tensor,
    weight: &Tensor,
    grad: &Tensor,
) -> Result<(Option<Tensor>, Option<Tensor>)> {
    let grad_x = x.track_op().then(|| grad_of_x(x, weight, grad)).transpose()?;
    let grad_weight = weight.track_op().then(|| {
        let mut out = unset(weight.elem_count());
        grad_of_weight(x, grad, &mut out, Write::Overwrite)?;
        buffer::like(out, weight)
    });
    Ok((grad_x, grad_weight.transpose()?))
}

impl CustomOp2 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Linear::forward((x, x_layout), (weight, weight_layout), None)
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        backward(x, weight, &grad.contiguous()?)
    }
}

impl CustomOp3 for Linear {
    fn name(&self) -> &'static str {
        "linear with bias"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let bias = values(bias, bias_layout)?;
        Linear::forward((x, x_layout), (weight, weight_layout), Some(&bias))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let (grad_x, grad_weight) = backward(x, weight, &grad)?;
        let n_outputs = bias.elem_count();
        let of_bias = || with_values([&grad], |[grad]| Ok(sum_rows(grad, n_outputs)));
        let grad_bias = bias.track_op().then(of_bias).transpose()?;
        Ok((grad_x, grad_weight, grad_bias.map(|sums| buffer::like(sums, bias)).transpose()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::decoding;
    use crate::testing::{check, random};

    fn composed(t: &[Tensor]) -> Result<Tensor> {
        t[0].matmul(&t[1].t()?)?.broadcast_add(&t[2])
    }

    #[test]
    fn agrees_with_candle_and_with_differences() {
        let inputs = [random((37, 12), 0), random((9, 12), 1), random(9, 2)];
        check(&inputs, |t| linear(&t[0], &t[1], Some(&t[2])), composed);
    }

    #[test]
    fn agrees_with_candle_without_bias() {
        let inputs = [random((5, 3), 0), random((70, 3), 1)];
        check(&inputs, |t| linear(&t[0], &t[1], None), |t| t[0].matmul(&t[1].t()?));
    }

    #[test]
    fn layers_of_one_input_are_each_a_layer() {
        let check = |rows, dtype| {
            let of = |t: Tensor| t.to_dtype(dtype).unwrap();
            let (x, v, w) =
                (of(random((rows, 16), 0)), of(random((9, 16), 1)), of(random((70, 16), 2)));
            let bias = of(random(9, 3));
            let [first, second] = linears(&x, [(&v, Some(&bias)), (&w, None)]).unwrap();
            let wide = |t: &Tensor| t.to_dtype(DType::F32).unwrap().to_vec2::<f32>().unwrap();
            assert_eq!(wide(&first), wide(&linear(&x, &v, Some(&bias)).unwrap()));
            assert_eq!(wide(&second), wide(&linear(&x, &w, None).unwrap()));
        };
        for (rows, dtype) in [(3, DType::F32), (3, DType::BF16), (70, DType::F32)] {
            check(rows, dtype);
            decoding(|| check(rows, dtype));
        }
        assert!(linears(&random((2, 3), 0), [(&random((4, 5), 1), None)]).is_err());
    }

    #[test]
    fn a_part_of_the_outputs_leaves_the_rest_without_gradient() {
        let inputs = [random((5, 3), 0), random((12, 3), 1), random(12, 2)];
        let slice = |t: &Tensor| t.narrow(0, 4, 4);
        check(
            &inputs,
            |t| linear_part(&t[0], &t[1], Some(&t[2]), 4..8),
            |t| t[0].matmul(&slice(&t[1])?.contiguous()?.t()?)?.broadcast_add(&slice(&t[2])?),
        );
    }

    #[test]
    fn a_weight_of_more_axes_is_a_matrix() {
        let inputs = [random((5, 12), 0), random((4, 2, 6), 1)];
        check(
            &inputs,
            |t| linear(&t[0], &t[1], None),
            |t| t[0].matmul(&t[1].flatten_from(1)?.t()?),
        );
    }

    #[test]
    fn shapes_that_do_not_fit_are_an_error() {
        assert!(linear(&random((2, 3), 0), &random((4, 5), 1), None).is_err());
        assert!(linear(&random((2, 3), 0), &random((4, 3), 1), Some(&random(5, 2))).is_err());
    }
}
