//! The linear layer: `x · Wᵀ + b`.

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor, bail};

use crate::buffer::{self, dims2, output, values, with_values};
use crate::matmul::{Mat, MatMut, Write, matmul};

/// `x · weightᵀ + bias`: x (N, in), weight (out, in), bias (out), result (N, out).
///
/// The gradients are strided products, g · W and gᵀ · x, where candle's would copy transposes; the gradient
/// of an operand that nothing trains is not computed.
///
/// # Errors
/// Shapes that do not fit.
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    if !buffer::fused(&[x, weight]) {
        let y = x.matmul(&weight.t()?)?;
        return match bias {
            Some(bias) => y.broadcast_add(bias),
            None => Ok(y),
        };
    }
    let (x, weight) = (x.contiguous()?, weight.contiguous()?);
    match bias {
        Some(bias) => x.apply_op3(&weight, &bias.contiguous()?, Linear),
        None => x.apply_op2(&weight, Linear),
    }
}

struct Linear;

impl Linear {
    fn forward(
        x: &[f32],
        (n, d_in): (usize, usize),
        weight: &[f32],
        (d_out, weight_in): (usize, usize),
        bias: Option<&[f32]>,
    ) -> Result<(CpuStorage, Shape)> {
        if d_in != weight_in {
            bail!("linear: weight is ({d_out}, {weight_in}), x is ({n}, {d_in})")
        }
        let mut y = vec![0.0; n * d_out];
        let into = match bias {
            Some(bias) if bias.len() != d_out => {
                bail!("linear: bias should have {d_out} values, got {}", bias.len())
            }
            Some(bias) => {
                y.chunks_exact_mut(d_out.max(1)).for_each(|row| row.copy_from_slice(bias));
                Write::Add
            }
            None => Write::Overwrite,
        };
        let (x, weight) = (Mat::new(x, n, d_in), Mat::new(weight, d_out, d_in).t());
        matmul(MatMut::new(&mut y, n, d_out), into, 1.0, x, weight, true);
        Ok(output(y, (n, d_out)))
    }

    /// Gradients of x and of the weight.
    fn backward(
        x: &Tensor,
        weight: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let ((n, d_in), (d_out, _)) = (x.dims2()?, weight.dims2()?);
        with_values([x, weight, grad], |[xs, ws, gs]| {
            let grad = Mat::new(gs, n, d_out);
            let mut grad_x = None;
            if x.track_op() {
                let mut out = vec![0.0; n * d_in];
                let weight = Mat::new(ws, d_out, d_in);
                matmul(MatMut::new(&mut out, n, d_in), Write::Overwrite, 1.0, grad, weight, true);
                grad_x = Some(Tensor::from_vec(out, (n, d_in), x.device())?);
            }
            let mut grad_weight = None;
            if weight.track_op() {
                let mut out = vec![0.0; d_out * d_in];
                let x = Mat::new(xs, n, d_in);
                let into = MatMut::new(&mut out, d_out, d_in);
                matmul(into, Write::Overwrite, 1.0, grad.t(), x, true);
                grad_weight = Some(Tensor::from_vec(out, (d_out, d_in), weight.device())?);
            }
            Ok((grad_x, grad_weight))
        })
    }
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
        let (x, w) = (values(x, x_layout)?, values(weight, weight_layout)?);
        Linear::forward(x, dims2(x_layout)?, w, dims2(weight_layout)?, None)
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        Linear::backward(x, weight, &grad.contiguous()?)
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
        let (x, w) = (values(x, x_layout)?, values(weight, weight_layout)?);
        let bias = values(bias, bias_layout)?;
        Linear::forward(x, dims2(x_layout)?, w, dims2(weight_layout)?, Some(bias))
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
        let (grad_x, grad_weight) = Linear::backward(x, weight, &grad)?;
        let grad_bias = if bias.track_op() { Some(grad.sum(0)?) } else { None };
        Ok((grad_x, grad_weight, grad_bias))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
    fn a_weight_that_is_a_slice_of_another_is_read_at_its_place() {
        let inputs = [random((5, 3), 0), random((12, 3), 1)];
        let slice = |t: &[Tensor]| t[1].narrow(0, 4, 4);
        check(
            &inputs,
            |t| linear(&t[0], &slice(t)?, None),
            |t| t[0].matmul(&slice(t)?.contiguous()?.t()?),
        );
    }

    #[test]
    fn shapes_that_do_not_fit_are_an_error() {
        assert!(linear(&random((2, 3), 0), &random((4, 5), 1), None).is_err());
        assert!(linear(&random((2, 3), 0), &random((4, 3), 1), Some(&random(5, 2))).is_err());
    }
}
