//! The same from candle's operations, for devices where nothing is fused.

use std::ops::Range;

use candle_core::{Result, Tensor};

use super::flat;
use crate::tape;

/// See [`super::linear_part`].
pub(super) fn forward(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    outputs: &Range<usize>,
) -> Result<Tensor> {
    let part = |t: &Tensor| t.narrow(0, outputs.start, outputs.len())?.to_dtype(x.dtype());
    let y = x.matmul(&part(&flat(weight)?)?.t()?)?;
    match bias {
        Some(bias) => y.broadcast_add(&part(bias)?),
        None => Ok(y),
    }
}

/// As [`forward`], on the tape. candle's own way back would compute the gradient of a frozen weight too.
pub(super) fn recorded(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    outputs: Range<usize>,
) -> Result<Tensor> {
    let (x, weight, bias) = (x.clone(), weight.clone(), bias.cloned());
    let detached = bias.as_ref().map(Tensor::detach);
    let y = forward(&x.detach(), &weight.detach(), detached.as_ref(), &outputs)?;
    let inputs: Vec<Tensor> = [&x, &weight].into_iter().chain(&bias).cloned().collect();
    tape::note(&inputs.iter().collect::<Vec<_>>(), &y, move |grad, adjoints| {
        if adjoints.wants(&x) {
            let part = flat(&weight.detach())?.narrow(0, outputs.start, outputs.len())?;
            adjoints.add(&x, Some(grad.matmul(&part.to_dtype(grad.dtype())?)?))?;
        }
        if adjoints.wants(&weight) {
            let of_part = grad.t()?.matmul(&x.detach())?; // (outputs, in)
            adjoints.add(&weight, Some(within(&of_part, &weight, &outputs)?))?;
        }
        match bias.filter(|bias| adjoints.wants(bias)) {
            Some(bias) => adjoints.add(&bias, Some(within(&grad.sum(0)?, &bias, &outputs)?)),
            None => Ok(()),
        }
    })?;
    Ok(y)
}

/// The gradient of the whole of which `of_part` is that of some outputs: zeros elsewhere.
fn within(of_part: &Tensor, whole: &Tensor, outputs: &Range<usize>) -> Result<Tensor> {
    let behind = whole.dim(0)? - outputs.end;
    of_part.pad_with_zeros(0, outputs.start, behind)?.reshape(whole.shape())
}
