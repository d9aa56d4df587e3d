//! Logprobs of given tokens straight from hidden states, without a (tokens × vocabulary) tensor.

use candle_core::{CpuStorage, CustomOp2, D, DType, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use crate::buffer::{self, dims2, output, sum2, values, with_values};
use crate::exp::softmax_row;
use crate::matmul::{Mat, MatMut, Write, matmul};

/// Logits that exist at once.
const LOGITS_PER_CHUNK: usize = 1 << 21;

/// Of `softmax(hidden · headᵀ / temperature)`: the log of the target's probability, and the entropy.
///
/// hidden (N, D), head (V, D), targets N; both results (N,) f32, the entropy without gradient. The logits
/// exist for a chunk of rows at a time and are computed again in the backward.
///
/// # Errors
/// Shapes that do not fit, a target outside the vocabulary.
pub fn token_logprobs(
    hidden: &Tensor,
    head: &Tensor,
    targets: &[u32],
    temperature: f64,
) -> Result<(Tensor, Tensor)> {
    let ((n, _), (vocab_size, _)) = (hidden.dims2()?, head.dims2()?);
    if targets.len() != n {
        bail!("token_logprobs: {n} hidden states for {} targets", targets.len())
    }
    if let Some(target) = targets.iter().find(|target| **target as usize >= vocab_size) {
        bail!("token_logprobs: target {target} in a vocabulary of {vocab_size}")
    }
    if !buffer::fused(&[hidden, head]) {
        return composed(hidden, head, targets, temperature);
    }
    let op = TokenLogprobs { targets: targets.to_vec(), inverse: (1.0 / temperature) as f32 };
    let both = hidden.contiguous()?.apply_op2(&head.contiguous()?, op)?; // (N, 2)
    let column = |idx| both.narrow(1, idx, 1)?.contiguous()?.squeeze(1);
    Ok((column(0)?, column(1)?.detach()))
}

/// The same from candle operations.
fn composed(
    hidden: &Tensor,
    head: &Tensor,
    targets: &[u32],
    temperature: f64,
) -> Result<(Tensor, Tensor)> {
    let (mut logprobs, mut entropy) = (Vec::new(), Vec::new());
    let rows = (LOGITS_PER_CHUNK / head.dim(0)?).max(1);
    for (chunk_idx, targets) in targets.chunks(rows).enumerate() {
        let hidden = hidden.narrow(0, chunk_idx * rows, targets.len())?;
        let logits = (hidden.matmul(&head.t()?)?.to_dtype(DType::F32)? / temperature)?;
        let logits = logits.broadcast_sub(&logits.detach().max_keepdim(D::Minus1)?)?;
        let normalizer = logits.exp()?.sum_keepdim(D::Minus1)?.log()?;
        let all = logits.broadcast_sub(&normalizer)?; // (rows, V)
        let targets = Tensor::new(targets, hidden.device())?.unsqueeze(1)?;
        logprobs.push(all.gather(&targets, 1)?.squeeze(1)?);
        let all = all.detach();
        entropy.push((all.exp()? * all)?.sum(D::Minus1)?.neg()?);
    }
    Ok((Tensor::cat(&logprobs, 0)?, Tensor::cat(&entropy, 0)?))
}

struct TokenLogprobs {
    targets: Vec<u32>,
    inverse: f32,
}

impl TokenLogprobs {
    /// Calls `f(first_row, scaled logits of the chunk)` for each chunk of rows.
    fn for_chunks(
        &self,
        hidden: &[f32],
        head: &[f32],
        vocab_size: usize,
        mut f: impl FnMut(usize, &mut [f32]),
    ) {
        let (n, width) = (self.targets.len(), head.len() / vocab_size);
        let rows_per_chunk = (LOGITS_PER_CHUNK / vocab_size).max(1);
        let mut logits = vec![0.0; rows_per_chunk.min(n) * vocab_size];
        for start in (0..n).step_by(rows_per_chunk) {
            let rows = rows_per_chunk.min(n - start);
            let logits = &mut logits[..rows * vocab_size];
            let hidden = Mat::new(&hidden[start * width..], rows, width);
            let head = Mat::new(head, vocab_size, width).t();
            let out = MatMut::new(logits, rows, vocab_size);
            matmul(out, Write::Overwrite, self.inverse, hidden, head, true);
            f(start, logits);
        }
    }
}

impl CustomOp2 for TokenLogprobs {
    fn name(&self) -> &'static str {
        "token_logprobs"
    }

    fn cpu_fwd(
        &self,
        hidden: &CpuStorage,
        hidden_layout: &Layout,
        head: &CpuStorage,
        head_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let ((n, width), (vocab_size, head_width)) = (dims2(hidden_layout)?, dims2(head_layout)?);
        if width != head_width {
            bail!("token_logprobs: hidden width {width}, head width {head_width}")
        }
        let (hidden, head) = (values(hidden, hidden_layout)?, values(head, head_layout)?);
        let mut out = vec![0.0; n * 2];
        self.for_chunks(hidden, head, vocab_size, |start, logits| {
            let rows = logits.par_chunks_mut(vocab_size).enumerate();
            rows.zip(out[2 * start..].par_chunks_mut(2)).for_each(|((i, logits), out)| {
                let target = self.targets[start + i] as usize;
                let logit = logits[target];
                let raw_logits = logits.to_vec();
                let normalizer = softmax_row(logits);
                out[0] = logit - normalizer;
                // A token of probability 0 adds nothing, though its logit may be infinite.
                out[1] = normalizer
                    - sum2(logits, &raw_logits, |p, x| if p > 0.0 { p * x } else { 0.0 });
            });
        });
        Ok(output(out, (n, 2)))
    }

    fn bwd(
        &self,
        hidden: &Tensor,
        head: &Tensor,
        _both: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let ((n, width), (vocab_size, _)) = (hidden.dims2()?, head.dims2()?);
        with_values([hidden, head, &grad.contiguous()?], |[hs, ws, gs]| {
            let mut grad_hidden = vec![0.0; n * width];
            let mut grad_head = vec![0.0; if head.track_op() { vocab_size * width } else { 0 }];
            self.for_chunks(hs, ws, vocab_size, |start, logits| {
                logits.par_chunks_mut(vocab_size).enumerate().for_each(|(i, row)| {
                    let scale = gs[2 * (start + i)] * self.inverse;
                    softmax_row(row);
                    row.iter_mut().for_each(|p| *p *= -scale);
                    row[self.targets[start + i] as usize] += scale;
                });
                let rows = logits.len() / vocab_size;
                let grad = Mat::new(logits, rows, vocab_size);
                let out = MatMut::new(&mut grad_hidden[start * width..], rows, width);
                let head = Mat::new(ws, vocab_size, width);
                matmul(out, Write::Overwrite, 1.0, grad, head, true);
                if !grad_head.is_empty() {
                    let hidden = Mat::new(&hs[start * width..], rows, width);
                    let out = MatMut::new(&mut grad_head, vocab_size, width);
                    matmul(out, Write::Add, 1.0, grad.t(), hidden, true);
                }
            });
            let grad_head = match grad_head.is_empty() {
                true => None,
                false => Some(Tensor::from_vec(grad_head, (vocab_size, width), head.device())?),
            };
            Ok((Some(Tensor::from_vec(grad_hidden, (n, width), hidden.device())?), grad_head))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check, difference, random};

    #[test]
    fn logprobs_agree_with_candle_and_with_differences() {
        let targets: Vec<u32> = (0..9).map(|i| i * 3 % 31).collect();
        let inputs = [random((9, 8), 0), random((31, 8), 1)];
        check(
            &inputs,
            |t| Ok(token_logprobs(&t[0], &t[1], &targets, 0.7)?.0),
            |t| Ok(composed(&t[0], &t[1], &targets, 0.7)?.0),
        );
    }

    #[test]
    fn entropy_agrees_with_candle_and_carries_no_gradient() {
        let (hidden, head) = (random((4, 8), 0), random((31, 8), 1));
        let got = token_logprobs(&hidden, &head, &[0, 1, 2, 30], 1.3).unwrap().1;
        let expected = composed(&hidden, &head, &[0, 1, 2, 30], 1.3).unwrap().1;
        assert!(difference(&got, &expected) < 1e-5 && !got.track_op());
    }

    #[test]
    fn rows_beyond_one_chunk_agree_too() {
        let vocab_size = LOGITS_PER_CHUNK / 3;
        let (hidden, head) = (random((7, 2), 0), random((vocab_size, 2), 1));
        let targets: Vec<u32> = (0..7).map(|i| i * 1000).collect();
        let (got, _) = token_logprobs(&hidden, &head, &targets, 1.0).unwrap();
        let (expected, _) = composed(&hidden, &head, &targets, 1.0).unwrap();
        assert!(difference(&got, &expected) < 1e-5);
    }

    #[test]
    fn a_target_outside_the_vocabulary_is_an_error() {
        let result = token_logprobs(&random((1, 2), 0), &random((3, 2), 1), &[3], 1.0);
        assert!(result.is_err_and(|e| e.to_string().contains("target 3 in a vocabulary of 3")));
    }
}
