//! The gated unit of the language model's MLP ([arXiv 2002.05202](https://arxiv.org/abs/2002.05202)).

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};

use crate::buffer::{self, dims2, for_row_pairs, for_rows, output, unset, values, with_values};
use crate::exp::sigmoid;
use crate::tape;

/// `silu(gate) · up`, both (N, D).
///
/// # Errors
/// Shapes that differ.
pub fn swiglu(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    if !buffer::fused(&[gate, up]) {
        return tape::composed(&[gate, up], |t| t[0].silu()? * &t[1]);
    }
    tape::apply2(&gate.contiguous()?, &up.contiguous()?, Swiglu)
}

struct Swiglu;

impl CustomOp2 for Swiglu {
    fn name(&self) -> &'static str {
        "swiglu"
    }

    fn cpu_fwd(
        &self,
        gate: &CpuStorage,
        gate_layout: &Layout,
        up: &CpuStorage,
        up_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (n, width) = dims2(gate_layout)?;
        let dtype = candle_core::backend::BackendStorage::dtype(gate);
        let (gate, up) = (values(gate, gate_layout)?, values(up, up_layout)?);
        if gate.len() != up.len() {
            bail!("swiglu: gate has {} values, up {}", gate.len(), up.len())
        }
        let mut y = unset(n * width);
        for_rows(
            &mut y,
            width,
            #[inline(always)]
            |i, y| {
                let (gate, up) = (&gate[i * width..][..width], &up[i * width..][..width]);
                for ((y, g), u) in y.iter_mut().zip(gate).zip(up) {
                    *y = g * sigmoid(*g) * u;
                }
            },
        );
        Ok(output(y, (n, width), dtype))
    }

    fn bwd(
        &self,
        gate: &Tensor,
        up: &Tensor,
        _y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (n, width) = gate.dims2()?;
        with_values([gate, up, &grad.contiguous()?], |[gs, us, ds]| {
            let (mut grad_gate, mut grad_up) = (unset(n * width), unset(n * width));
            for_row_pairs(
                [&mut grad_gate, &mut grad_up],
                width,
                #[inline(always)]
                |i, [grad_gate, grad_up]| {
                    let at = i * width..(i + 1) * width;
                    let inputs = gs[at.clone()].iter().zip(&us[at.clone()]).zip(&ds[at]);
                    let outputs = grad_gate.iter_mut().zip(grad_up);
                    for ((grad_gate, grad_up), ((g, u), d)) in outputs.zip(inputs) {
                        let s = sigmoid(*g);
                        *grad_gate = d * u * s * (1.0 + g * (1.0 - s));
                        *grad_up = d * g * s;
                    }
                },
            );
            Ok((Some(buffer::like(grad_gate, gate)?), Some(buffer::like(grad_up, up)?)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check, random};

    #[test]
    fn agrees_with_candle_and_with_differences() {
        let inputs = [random((30, 21), 0), random((30, 21), 1)];
        check(&inputs, |t| swiglu(&t[0], &t[1]), |t| t[0].silu()? * &t[1]);
    }
}
