//! In main memory, a chunk of rows at a time.

use candle_core::{DType, Result, Tensor};
use half::bf16;
use rayon::prelude::*;

use super::Question;
use crate::autograd::BackwardPass;
use crate::cpu::exp::{exp, max};
use crate::cpu::{Element, like, sum2, tensor, vectorized, with_elements};
use crate::matmul::{How, Mat, MatMut, Write, append_product};

/// Logits that exist at once.
pub(super) const LOGITS_PER_CHUNK: usize = 1 << 21;

/// Logprob and entropy of each token, (N,) each.
pub(super) fn forward(hidden: &Tensor, question: &Question) -> Result<[Tensor; 2]> {
    let pairs = match hidden.dtype() {
        DType::BF16 => question.forward::<bf16>(hidden)?,
        _ => question.forward::<f32>(hidden)?,
    };
    let column = |idx: usize| {
        let values: Vec<f32> = pairs.iter().map(|pair| pair[idx]).collect();
        tensor(values, pairs.len(), DType::F32)
    };
    Ok([column(0)?, column(1)?])
}

/// The gradient of the hidden states; adds that of the head to the pass.
pub(super) fn backward(
    hidden: &Tensor,
    question: &Question,
    gradients: [Option<Tensor>; 2],
    pass: &mut BackwardPass,
) -> Result<Tensor> {
    let values = |gradient: Option<Tensor>| match gradient {
        Some(gradient) => gradient.to_vec1::<f32>(),
        None => Ok(vec![0.0; question.targets.len()]),
    };
    let [of_logprobs, of_entropy] = gradients.map(values);
    let pairs: Vec<[f32; 2]> =
        of_logprobs?.into_iter().zip(of_entropy?).map(|(a, b)| [a, b]).collect();
    let run = |of_head: Option<(&mut [f32], Write)>| match hidden.dtype() {
        DType::BF16 => question.backward::<bf16>(hidden, &pairs, of_head),
        _ => question.backward::<f32>(hidden, &pairs, of_head),
    };
    let mut of_hidden = None;
    pass.write_weight(&question.head, |sum, write| of_hidden = Some(run(Some((sum, write)))));
    like(of_hidden.unwrap_or_else(|| run(None))?, hidden)
}

impl Question {
    /// Calls `f(first_row, scaled logits of the chunk)` for each chunk of rows.
    fn for_chunks<T: Element>(
        &self,
        [hidden, head]: [&[T]; 2],
        (vocab_size, width): (usize, usize),
        mut f: impl FnMut(usize, &mut [f32]),
    ) {
        let n = self.targets.len();
        let rows_per_chunk = (LOGITS_PER_CHUNK / vocab_size).max(1);
        let mut logits = Vec::new();
        for start in (0..n).step_by(rows_per_chunk) {
            let rows = rows_per_chunk.min(n - start);
            let hidden = Mat::new(&hidden[start * width..], rows, width);
            let head = Mat::new(head, vocab_size, width).t();
            logits.clear();
            append_product(&mut logits, self.inverse(), hidden, head, How::PARALLEL);
            f(start, &mut logits);
        }
    }

    /// One over the temperature.
    fn inverse(&self) -> f32 {
        (1.0 / self.temperature) as f32
    }

    /// Logprob and entropy of each row.
    fn forward<T: Element>(&self, hidden: &Tensor) -> Result<Vec<[f32; 2]>> {
        let dims = self.head.tensor()?.dims2()?;
        let mut out = vec![[0.0; 2]; self.targets.len()];
        with_elements([hidden, self.head.tensor()?], |operands: [&[T]; 2]| {
            self.for_chunks(operands, dims, |start, logits| {
                let rows = logits.par_chunks(dims.0).enumerate();
                rows.zip(out[start..].par_iter_mut()).for_each(|((i, logits), out)| {
                    let target = self.targets[start + i] as usize;
                    *out = vectorized(
                        #[inline(always)]
                        || logprob_and_entropy(logits, target),
                    );
                });
            });
            Ok(())
        })?;
        Ok(out)
    }

    /// The gradient of the hidden states; that of the head, if it is wanted, into its buffer. `gradients` are those of
    /// each logprob and entropy.
    fn backward<T: Element>(
        &self,
        hidden: &Tensor,
        gradients: &[[f32; 2]],
        mut of_head: Option<(&mut [f32], Write)>,
    ) -> Result<Vec<f32>> {
        let (vocab_size, width) = self.head.tensor()?.dims2()?;
        let mut of_hidden = Vec::with_capacity(self.targets.len() * width);
        with_elements([hidden, self.head.tensor()?], |[hidden, head]: [&[T]; 2]| {
            self.for_chunks([hidden, head], (vocab_size, width), |start, logits| {
                logits.par_chunks_mut(vocab_size).enumerate().for_each(|(i, row)| {
                    self.to_gradient(row, start + i, gradients[start + i]);
                });
                let rows = logits.len() / vocab_size;
                let of_head = of_head.as_mut().map(|(sum, write)| {
                    let write = std::mem::replace(write, Write::Add);
                    (MatMut::new(sum, vocab_size, width), write)
                });
                let of_logits = T::all_of(logits);
                let of_logits = Mat::new(&of_logits, rows, vocab_size);
                let head = Mat::new(head, vocab_size, width);
                append_product(&mut of_hidden, 1.0, of_logits, head, How::PARALLEL);
                if let Some((sum, write)) = of_head {
                    let hidden = Mat::new(&hidden[start * width..], rows, width);
                    T::matmul(sum, write, 1.0, of_logits.t(), hidden, How::PARALLEL);
                }
            });
            Ok(())
        })?;
        Ok(of_hidden)
    }

    /// Turns the scaled logits of a row into the gradient of the logits.
    fn to_gradient(&self, logits: &mut [f32], row: usize, [of_logprob, of_entropy]: [f32; 2]) {
        let target = self.targets[row] as usize;
        vectorized(
            #[inline(always)]
            || gradient_of_logits(logits, target, of_logprob, of_entropy),
        );
        let inverse = self.inverse();
        if inverse != 1.0 {
            logits.iter_mut().for_each(|g| *g *= inverse);
        }
    }
}

/// Turns logits into their gradient: `(1 - p)` or `-p` for the logprob, `-p (ln p + H)` for the entropy H.
#[inline(always)]
fn gradient_of_logits(row: &mut [f32], target: usize, of_logprob: f32, of_entropy: f32) {
    let [logprob, entropy] = logprob_and_entropy(row, target);
    let normalizer = row[target] - logprob;
    for x in row.iter_mut() {
        let log_p = *x - normalizer;
        let pull = of_logprob + of_entropy * (log_p.max(-88.0) + entropy);
        *x = -exp(log_p) * pull;
    }
    row[target] += of_logprob;
}

/// `ln p(target)` and `-Σ p ln p` of a row of logits.
#[inline(always)]
fn logprob_and_entropy(logits: &[f32], target: usize) -> [f32; 2] {
    let largest = max(logits);
    let sum = sum2(logits, logits, |x, _| exp(x - largest));
    // A token of probability 0 adds nothing, though its logit may be infinite.
    let weighted = sum2(logits, logits, |x, _| {
        let power = exp(x - largest);
        if x - largest > -87.0 { power * (x - largest) } else { 0.0 }
    });
    let normalizer = sum.ln();
    [logits[target] - largest - normalizer, normalizer - weighted / sum]
}
