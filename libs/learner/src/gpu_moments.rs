//! Moments that stay on a GPU with their variable, in the type that the configuration asks for.

use candle_core::{Result, Tensor, Var};
use vrft_kernels::dynamic_map::{SIGNED, UNSIGNED};
use vrft_kernels::{AdamwNumbers, GpuMoments};

use crate::moment::Moment;
use crate::moments::{Gradient, Update};
use crate::saved::Saved;

/// Moves both moments to their variable.
pub(crate) fn to_gpu(moments: [&Moment; 2], variable: &Var) -> Result<GpuMoments> {
    let device = variable.device();
    Ok(match moments {
        [
            Moment::Int8 { codes, scales, .. },
            Moment::Int8 { codes: codes2, scales: scales2, .. },
        ] => {
            let codes =
                [codes, codes2].map(|codes| Tensor::from_slice(codes, variable.shape(), device));
            let scales = [scales, scales2].map(|scales| Tensor::new(&scales[..], device));
            let [first, second] = codes;
            let [first_scales, second_scales] = scales;
            let tables = [SIGNED.table(), UNSIGNED.table()].concat();
            GpuMoments::Int8 {
                codes: [first?, second?],
                scales: [first_scales?, second_scales?],
                tables: Tensor::from_vec(tables, (4, 256), device)?,
            }
        }
        [Moment::Bf16(first), Moment::Bf16(second)] => GpuMoments::Bf16([
            Tensor::from_slice(first, variable.shape(), device)?,
            Tensor::from_slice(second, variable.shape(), device)?,
        ]),
        [Moment::F32(first), Moment::F32(second)] => GpuMoments::F32([
            Tensor::from_slice(first, variable.shape(), device)?,
            Tensor::from_slice(second, variable.shape(), device)?,
        ]),
        _ => candle_core::bail!("both moments of a variable should be of one type"),
    })
}

/// What is saved of each moment, by the end of its name.
pub(crate) fn saved(moments: &GpuMoments) -> [Vec<(&'static str, Saved<'static>)>; 2] {
    let values = |tensor: &Tensor| Saved::Tensor(tensor.clone());
    match moments {
        GpuMoments::F32(both) | GpuMoments::Bf16(both) => {
            both.each_ref().map(|moment| vec![("", values(moment))])
        }
        GpuMoments::Int8 { codes, scales, .. } => {
            [0, 1].map(|i| vec![("", values(&codes[i])), (".absmax", values(&scales[i]))])
        }
    }
}

/// Updates the moments and then the variable.
pub(crate) fn apply(
    variable: &Var,
    gradient: Gradient,
    moments: &GpuMoments,
    update: &Update,
) -> Result<()> {
    let gradient = match gradient {
        Gradient::Tensor(gradient) => gradient.clone(),
        Gradient::Values(values) => {
            Tensor::from_slice(values, variable.shape(), variable.device())?
        }
    };
    let numbers = AdamwNumbers {
        scale: update.grad_scale,
        blend: 1.0 - update.beta1,
        beta2: update.beta2,
        keep: update.keep,
        rate: update.rate,
        root: update.root,
        eps: update.eps,
        key: update.key,
    };
    vrft_kernels::adamw_on_gpu(variable.as_tensor(), &gradient, moments, &numbers)
}
