//! Fused, in main memory.

use candle_core::{Result, Tensor};

use crate::cpu::exp::sigmoid;
use crate::cpu::{like, make_row_pairs, make_rows, with_values, write_pairs};

pub(super) fn forward(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    let (n, width) = gate.dims2()?;
    let values = with_values([gate, up], |[gate, up]| {
        Ok(make_rows(
            n,
            width,
            #[inline(always)]
            |i, y| {
                let gate = &gate[i * width..][..width];
                let up = &up[i * width..][..width];
                y.write(gate.iter().zip(up).map(|(g, u)| g * sigmoid(*g) * u))
            },
        ))
    })?;
    like(values, gate)
}

/// Gradients of gate and up.
pub(super) fn backward(gate: &Tensor, up: &Tensor, gradient: &Tensor) -> Result<[Tensor; 2]> {
    let (n, width) = gate.dims2()?;
    let [of_gate, of_up] = with_values([gate, up, gradient], |[gs, us, ds]| {
        Ok(make_row_pairs(
            n,
            width,
            #[inline(always)]
            |i, gradients| {
                let at = i * width..(i + 1) * width;
                let inputs = gs[at.clone()].iter().zip(&us[at.clone()]).zip(&ds[at]);
                let of_each = |((g, u), d): ((&f32, &f32), &f32)| {
                    let s = sigmoid(*g);
                    (d * u * s * (1.0 + g * (1.0 - s)), d * g * s)
                };
                write_pairs(gradients, inputs.map(of_each))
            },
        ))
    })?;
    Ok([like(of_gate, gate)?, like(of_up, up)?])
}
