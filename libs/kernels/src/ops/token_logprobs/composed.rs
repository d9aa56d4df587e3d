//! The reference of candle's operations.

use candle_core::{D, DType, Result, Tensor};

use super::Question;
use crate::autograd::BackwardPass;

/// Logits that exist at once: more than in the fused implementation, since each operation costs a start.
const LOGITS_PER_CHUNK: usize = 1 << 24;

/// Logprob and entropy of each token, (N,) each.
pub(super) fn forward(hidden: &Tensor, question: &Question) -> Result<[Tensor; 2]> {
    results(hidden, question.head.tensor()?, &question.targets, question.temperature)
}

/// As [`forward`], differentiable in candle's graph.
pub(super) fn results(
    hidden: &Tensor,
    head: &Tensor,
    targets: &[u32],
    temperature: f64,
) -> Result<[Tensor; 2]> {
    let mut logprobs = Vec::new();
    let mut entropy = Vec::new();
    let head = head.to_dtype(hidden.dtype())?;
    for (start, targets) in chunks(targets, &head)? {
        let hidden = hidden.narrow(0, start, targets.len())?;
        let all = log_probabilities(&hidden, &head, temperature)?; // (rows, V)
        let targets = Tensor::new(targets, hidden.device())?.unsqueeze(1)?;
        logprobs.push(all.gather(&targets, 1)?.squeeze(1)?);
        entropy.push((all.exp()? * all)?.sum(D::Minus1)?.neg()?);
    }
    Ok([Tensor::cat(&logprobs, 0)?, Tensor::cat(&entropy, 0)?])
}

/// The gradient of the hidden states; adds that of the head to the pass.
pub(super) fn backward(
    hidden: &Tensor,
    question: &Question,
    gradients: [Option<Tensor>; 2],
    pass: &mut BackwardPass,
) -> Result<Tensor> {
    let Question { head, targets, temperature } = question;
    let narrow = head.tensor()?.to_dtype(hidden.dtype())?;
    let zeros = || Tensor::zeros(targets.len(), DType::F32, hidden.device());
    let [of_logprob, of_entropy] = gradients.map(|gradient| gradient.map_or_else(zeros, Ok));
    let of_logprob = of_logprob?.unsqueeze(1)?;
    let of_entropy = of_entropy?.unsqueeze(1)?; // (N, 1)
    let mut of_hidden = Vec::new();
    for (start, targets) in chunks(targets, &narrow)? {
        let rows = |t: &Tensor| t.narrow(0, start, targets.len());
        let hidden = rows(hidden)?;
        let all = log_probabilities(&hidden, &narrow, *temperature)?; // (rows, V)
        let of_logits =
            gradient_of_logits(&all, targets, &rows(&of_logprob)?, &rows(&of_entropy)?)?;
        let of_logits = (of_logits / *temperature)?.to_dtype(hidden.dtype())?;
        if head.is_trainable() {
            pass.add_to_weight(head, &of_logits.t()?.matmul(&hidden)?)?;
        }
        of_hidden.push(of_logits.matmul(&narrow)?);
    }
    Tensor::cat(&of_hidden, 0)
}

/// Targets with the row that each chunk starts at.
fn chunks<'a>(
    targets: &'a [u32],
    head: &Tensor,
) -> Result<impl Iterator<Item = (usize, &'a [u32])> + use<'a>> {
    let rows = (LOGITS_PER_CHUNK / head.dim(0)?).max(1);
    Ok(targets.chunks(rows).enumerate().map(move |(idx, targets)| (idx * rows, targets)))
}

/// Log-probabilities of all tokens, (rows, V) f32.
fn log_probabilities(hidden: &Tensor, head: &Tensor, temperature: f64) -> Result<Tensor> {
    let logits = (hidden.matmul(&head.t()?)?.to_dtype(DType::F32)? / temperature)?;
    let logits = logits.broadcast_sub(&logits.detach().max_keepdim(D::Minus1)?)?;
    let normalizer = logits.exp()?.sum_keepdim(D::Minus1)?.log()?;
    logits.broadcast_sub(&normalizer)
}

/// `(1 - p)` or `-p` for the logprob, `-p (ln p + H)` for the entropy H: of all logits, from the logarithms of p.
fn gradient_of_logits(
    all: &Tensor,
    targets: &[u32],
    of_logprob: &Tensor,
    of_entropy: &Tensor,
) -> Result<Tensor> {
    let p = all.exp()?; // (rows, V)
    let entropy = (&p * all)?.sum_keepdim(D::Minus1)?.neg()?; // (rows, 1)
    let pull = all.broadcast_add(&entropy)?.broadcast_mul(of_entropy)?;
    let gradient = (p * pull.broadcast_add(of_logprob)?)?.neg()?;
    let targets = Tensor::new(targets, all.device())?.unsqueeze(1)?;
    gradient.scatter_add(&targets, &of_logprob.contiguous()?, 1)
}
