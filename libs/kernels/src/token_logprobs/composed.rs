//! The same from candle's operations, for devices where nothing is fused.

use candle_core::{D, DType, Result, Tensor};

use super::pairs;
use crate::tape;

/// Logits that exist at once: more than in the fused way, since each operation costs a start.
const LOGITS_PER_CHUNK: usize = 1 << 24;

/// See [`super::token_logprobs`].
pub(super) fn forward(
    hidden: &Tensor,
    head: &Tensor,
    targets: &[u32],
    temperature: f64,
) -> Result<(Tensor, Tensor)> {
    let (mut logprobs, mut entropy) = (Vec::new(), Vec::new());
    let head = head.to_dtype(hidden.dtype())?;
    for (start, targets) in chunks(targets, &head)? {
        let hidden = hidden.narrow(0, start, targets.len())?;
        let all = log_probabilities(&hidden, &head, temperature)?; // (rows, V)
        let targets = Tensor::new(targets, hidden.device())?.unsqueeze(1)?;
        logprobs.push(all.gather(&targets, 1)?.squeeze(1)?);
        entropy.push((all.exp()? * all)?.sum(D::Minus1)?.neg()?);
    }
    Ok((Tensor::cat(&logprobs, 0)?, Tensor::cat(&entropy, 0)?))
}

/// Targets with the row that each chunk starts at.
fn chunks<'a>(
    targets: &'a [u32],
    head: &Tensor,
) -> Result<impl Iterator<Item = (usize, &'a [u32])> + use<'a>> {
    let rows = (LOGITS_PER_CHUNK / head.dim(0)?).max(1);
    Ok(targets.chunks(rows).enumerate().map(move |(idx, targets)| (idx * rows, targets)))
}

/// (rows, V) f32.
fn log_probabilities(hidden: &Tensor, head: &Tensor, temperature: f64) -> Result<Tensor> {
    let logits = (hidden.matmul(&head.t()?)?.to_dtype(DType::F32)? / temperature)?;
    let logits = logits.broadcast_sub(&logits.detach().max_keepdim(D::Minus1)?)?;
    let normalizer = logits.exp()?.sum_keepdim(D::Minus1)?.log()?;
    logits.broadcast_sub(&normalizer)
}

/// As [`forward`], on the tape, with the logits computed again on the way back.
pub(super) fn recorded(
    hidden: &Tensor,
    head: &Tensor,
    targets: &[u32],
    temperature: f64,
) -> Result<(Tensor, Tensor)> {
    let (logprobs, entropy) = forward(&hidden.detach(), &head.detach(), targets, temperature)?;
    let (hidden, head, targets) = (hidden.clone(), head.clone(), targets.to_vec());
    tape::note(&[&hidden.clone(), &head.clone()], &logprobs, move |grad, adjoints| {
        let pairs = pairs(grad)?;
        let (from, narrow) = (hidden.detach(), head.detach().to_dtype(hidden.dtype())?);
        let mut grad_hidden = Vec::new();
        for (start, targets) in chunks(&targets, &head)? {
            let rows = |t: &Tensor| t.narrow(0, start, targets.len());
            let all = log_probabilities(&rows(&from)?, &narrow, temperature)?; // (rows, V)
            let grad = gradient_of_logits(&all, targets, &rows(&pairs)?)?;
            let grad = (grad / temperature)?.to_dtype(hidden.dtype())?;
            if adjoints.wants(&head) {
                adjoints.add(&head, Some(grad.t()?.matmul(&rows(&from)?)?))?;
            }
            grad_hidden.push(grad.matmul(&narrow)?);
        }
        adjoints.add(&hidden, Some(Tensor::cat(&grad_hidden, 0)?))
    })?;
    Ok((logprobs, entropy))
}

/// `(1 - p)` or `-p` for the logprob, `-p (ln p + H)` for the entropy H: of all logits, from the logarithms of p.
fn gradient_of_logits(all: &Tensor, targets: &[u32], pairs: &Tensor) -> Result<Tensor> {
    let column = |idx| pairs.narrow(1, idx, 1)?.contiguous();
    let (of_logprob, of_entropy) = (column(0)?, column(1)?); // (rows, 1)
    let p = all.exp()?;
    let entropy = (&p * all)?.sum_keepdim(D::Minus1)?.neg()?; // (rows, 1)
    let pull = all.broadcast_add(&entropy)?.broadcast_mul(&of_entropy)?;
    let grad = (p * pull.broadcast_add(&of_logprob)?)?.neg()?;
    let targets = Tensor::new(targets, all.device())?.unsqueeze(1)?;
    grad.scatter_add(&targets, &of_logprob, 1)
}
