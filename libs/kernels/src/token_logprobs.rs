//! Logprobs of given tokens straight from hidden states, without a (tokens × vocabulary) tensor.

mod composed;

use candle_core::{CpuStorage, CustomOp2, DType, Layout, Result, Shape, Tensor, bail};
use half::bf16;
use rayon::prelude::*;

use crate::buffer::{self, unset, with_elements, with_values};
use crate::element::Element;
use crate::exp::{exp, max};
use crate::matmul::{Mat, MatMut, Write};
use crate::simd::vectorized;
use crate::tape;

/// Logits that exist at once.
const LOGITS_PER_CHUNK: usize = 1 << 21;

/// Of `softmax(hidden · headᵀ / temperature)`: the log of the target's probability, and the entropy.
///
/// hidden (N, D), head (V, D), targets N; both results (N,) f32. The logits exist for a chunk of rows at a time
/// and are computed again in the backward. On a tape the first result stands for both: its gradient is (N, 2).
///
/// # Errors
/// Shapes that do not fit, a target outside the vocabulary.
pub fn token_logprobs(
    hidden: &Tensor,
    head: &Tensor,
    targets: &[u32],
    temperature: f64,
) -> Result<(Tensor, Tensor)> {
    let ((n, width), (vocab_size, head_width)) = (hidden.dims2()?, head.dims2()?);
    if width != head_width {
        bail!("token_logprobs: hidden width {width}, head width {head_width}")
    }
    if targets.len() != n {
        bail!("token_logprobs: {n} hidden states for {} targets", targets.len())
    }
    if let Some(target) = targets.iter().find(|target| **target as usize >= vocab_size) {
        bail!("token_logprobs: target {target} in a vocabulary of {vocab_size}")
    }
    if !buffer::fused(&[hidden, head]) {
        return match tape::is_recording() {
            true => composed::recorded(hidden, head, targets, temperature),
            false => composed::forward(hidden, head, targets, temperature),
        };
    }
    let op = TokenLogprobs { targets: targets.to_vec(), inverse: (1.0 / temperature) as f32 };
    let (hidden, head) = (hidden.contiguous()?, head.contiguous()?);
    if !tape::is_recording() {
        let both = hidden.apply_op2(&head, op)?; // (N, 2)
        let column = |idx| both.narrow(1, idx, 1)?.contiguous()?.squeeze(1);
        return Ok((column(0)?, column(1)?));
    }
    let both = op.forward(&hidden, &head)?;
    let column = |idx: usize| both.iter().map(|pair| pair[idx]).collect::<Vec<f32>>();
    let (logprobs, entropy) = (column(0), column(1));
    let logprobs = buffer::tensor(logprobs, n, DType::F32)?;
    tape::note(&[&hidden.clone(), &head.clone()], &logprobs, move |grad, adjoints| {
        let mut grad_hidden = None;
        let mut result = Ok(());
        let pairs = pairs(grad)?;
        let run = |of_head: Option<(&mut [f32], Write)>| {
            with_values([&pairs], |[grad]| op.backward(&hidden, &head, grad, of_head))
        };
        match adjoints.wants(&head) {
            true if head.is_variable() => adjoints.weight(&head, |sum, write| {
                result = run(Some((sum, write))).map(|grad| grad_hidden = Some(grad));
            }),
            true => {
                let mut sum = unset(head.elem_count());
                grad_hidden = Some(run(Some((&mut sum, Write::Overwrite)))?);
                adjoints.add(&head, Some(buffer::like(sum, &head)?))?;
            }
            false => grad_hidden = Some(run(None)?),
        }
        result?;
        let grad_hidden = grad_hidden.map(|grad| buffer::like(grad, &hidden)).transpose()?;
        adjoints.add(&hidden, grad_hidden)
    })?;
    Ok((logprobs, buffer::tensor(entropy, n, DType::F32)?))
}

/// Gradients of logprob and entropy, (N, 2), of which the second may have been left out.
fn pairs(grad: &Tensor) -> Result<Tensor> {
    match grad.rank() {
        1 => Tensor::stack(&[grad, &grad.zeros_like()?], 1),
        _ => grad.contiguous(),
    }
}

struct TokenLogprobs {
    targets: Vec<u32>,
    inverse: f32,
}

impl TokenLogprobs {
    /// Calls `f(first_row, scaled logits of the chunk)` for each chunk of rows.
    fn for_chunks<T: Element>(
        &self,
        [hidden, head]: [&[T]; 2],
        (vocab_size, width): (usize, usize),
        mut f: impl FnMut(usize, &mut [f32]),
    ) {
        let n = self.targets.len();
        let rows_per_chunk = (LOGITS_PER_CHUNK / vocab_size).max(1);
        let mut logits = unset(rows_per_chunk.min(n) * vocab_size);
        for start in (0..n).step_by(rows_per_chunk) {
            let rows = rows_per_chunk.min(n - start);
            let logits = &mut logits[..rows * vocab_size];
            let out = MatMut::new(logits, rows, vocab_size);
            let hidden = Mat::new(&hidden[start * width..], rows, width);
            let head = Mat::new(head, vocab_size, width).t();
            T::matmul(out, Write::Overwrite, self.inverse, hidden, head, true);
            f(start, logits);
        }
    }

    /// Logprob and entropy of each row.
    fn forward(&self, hidden: &Tensor, head: &Tensor) -> Result<Vec<[f32; 2]>> {
        match hidden.dtype() {
            DType::BF16 => self.forward_in::<bf16>(hidden, head),
            _ => self.forward_in::<f32>(hidden, head),
        }
    }

    fn forward_in<T: Element>(&self, hidden: &Tensor, head: &Tensor) -> Result<Vec<[f32; 2]>> {
        let dims = head.dims2()?;
        let mut out = vec![[0.0; 2]; self.targets.len()];
        with_elements([hidden, head], |operands: [&[T]; 2]| {
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

    /// The gradient of the hidden states; that of the head, if it is wanted, into its buffer. `grad` is that of
    /// each logprob and entropy, pair by pair.
    fn backward(
        &self,
        hidden: &Tensor,
        head: &Tensor,
        grad: &[f32],
        of_head: Option<(&mut [f32], Write)>,
    ) -> Result<Vec<f32>> {
        match hidden.dtype() {
            DType::BF16 => self.backward_in::<bf16>(hidden, head, grad, of_head),
            _ => self.backward_in::<f32>(hidden, head, grad, of_head),
        }
    }

    fn backward_in<T: Element>(
        &self,
        hidden: &Tensor,
        head: &Tensor,
        grad: &[f32],
        mut of_head: Option<(&mut [f32], Write)>,
    ) -> Result<Vec<f32>> {
        let (vocab_size, width) = head.dims2()?;
        let mut grad_hidden = unset(self.targets.len() * width);
        with_elements([hidden, head], |[hidden, head]: [&[T]; 2]| {
            self.for_chunks([hidden, head], (vocab_size, width), |start, logits| {
                logits.par_chunks_mut(vocab_size).enumerate().for_each(|(i, row)| {
                    let [of_logprob, of_entropy] = [0, 1].map(|j| grad[2 * (start + i) + j]);
                    let target = self.targets[start + i] as usize;
                    vectorized(
                        #[inline(always)]
                        || gradient_of_logits(row, target, of_logprob, of_entropy),
                    );
                    let inverse = self.inverse;
                    if inverse != 1.0 {
                        row.iter_mut().for_each(|g| *g *= inverse);
                    }
                });
                let rows = logits.len() / vocab_size;
                let out = MatMut::new(&mut grad_hidden[start * width..], rows, width);
                let of_head = of_head.as_mut().map(|(sum, write)| {
                    let write = std::mem::replace(write, Write::Add);
                    (MatMut::new(sum, vocab_size, width), write)
                });
                let grad = T::all_of(logits);
                let grad = Mat::new(&grad, rows, vocab_size);
                let head = Mat::new(head, vocab_size, width);
                T::matmul(out, Write::Overwrite, 1.0, grad, head, true);
                if let Some((sum, write)) = of_head {
                    let hidden = Mat::new(&hidden[start * width..], rows, width);
                    T::matmul(sum, write, 1.0, grad.t(), hidden, true);
                }
            });
            Ok(())
        })?;
        Ok(grad_hidden)
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
    let sum = buffer::sum2(logits, logits, |x, _| exp(x - largest));
    // A token of probability 0 adds nothing, though its logit may be infinite.
    let weighted = buffer::sum2(logits, logits, |x, _| {
        let power = exp(x - largest);
        if x - largest > -87.0 { power * (x - largest) } else { 0.0 }
    });
    let normalizer = sum.ln();
    [logits[target] - largest - normalizer, normalizer - weighted / sum]
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
        let tensor = |storage: &CpuStorage, layout: &Layout| {
            let dtype = candle_core::backend::BackendStorage::dtype(storage);
            buffer::tensor(buffer::values(storage, layout)?.into_owned(), layout.shape(), dtype)
        };
        let both = self.forward(&tensor(hidden, hidden_layout)?, &tensor(head, head_layout)?)?;
        let n = both.len();
        Ok((CpuStorage::F32(both.into_flattened()), (n, 2).into()))
    }

    fn bwd(
        &self,
        hidden: &Tensor,
        head: &Tensor,
        _both: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let grad = grad.flatten_all()?.to_vec1::<f32>()?;
        let mut sum = head.track_op().then(|| unset(head.elem_count()));
        let of_head = sum.as_deref_mut().map(|sum| (sum, Write::Overwrite));
        let grad_hidden = self.backward(hidden, head, &grad, of_head)?;
        let grad_head = sum.map(|sum| buffer::like(sum, head)).transpose()?;
        Ok((Some(buffer::like(grad_hidden, hidden)?), grad_head))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check, check_graph, difference, random};

    #[test]
    fn logprobs_agree_with_candle_and_with_differences() {
        let targets: Vec<u32> = (0..9).map(|i| i * 3 % 31).collect();
        let inputs = [random((9, 8), 0), random((31, 8), 1)];
        check(
            &inputs,
            |t| Ok(token_logprobs(&t[0], &t[1], &targets, 0.7)?.0),
            |t| Ok(composed::forward(&t[0], &t[1], &targets, 0.7)?.0),
        );
    }

    #[test]
    fn entropy_agrees_with_candle_and_with_differences() {
        let inputs = [random((4, 8), 0), random((31, 8), 1)];
        let targets = [0, 1, 2, 30];
        let entropy = |t: &[Tensor]| Ok(token_logprobs(&t[0], &t[1], &targets, 1.3)?.1);
        let expected = |t: &[Tensor]| Ok(composed::forward(&t[0], &t[1], &targets, 1.3)?.1);
        check_graph(&inputs, entropy, expected);
    }

    #[test]
    fn a_tape_takes_both_gradients() {
        let inputs = [random((4, 8), 0), random((31, 8), 1)];
        let vars = inputs.each_ref().map(|t| candle_core::Var::from_tensor(t).unwrap());
        let run = || token_logprobs(&vars[0], &vars[1], &[0, 1, 2, 30], 1.3).unwrap();
        let ((logprobs, _), tape) = crate::Tape::record(run);
        let mut gradients = crate::Gradients::default();
        let grad = Tensor::new(&[[1f32, 2.0]; 4], logprobs.device()).unwrap();
        tape.backward(&logprobs, &grad, &mut gradients).unwrap();
        let (logprobs, entropy) = run();
        let sum =
            (logprobs.sum_all().unwrap() + (entropy.sum_all().unwrap() * 2.0).unwrap()).unwrap();
        let store = sum.backward().unwrap();
        for var in &vars {
            let expected = store.get(var).unwrap();
            let got = Tensor::new(gradients.get(var).unwrap(), var.device()).unwrap();
            assert!(difference(&got.reshape(var.shape()).unwrap(), expected) < 1e-5);
        }
    }

    #[test]
    fn rows_beyond_one_chunk_agree_too() {
        let vocab_size = LOGITS_PER_CHUNK / 3;
        let (hidden, head) = (random((7, 2), 0), random((vocab_size, 2), 1));
        let targets: Vec<u32> = (0..7).map(|i| i * 1000).collect();
        let (got, _) = token_logprobs(&hidden, &head, &targets, 1.0).unwrap();
        let (expected, _) = composed::forward(&hidden, &head, &targets, 1.0).unwrap();
        assert!(difference(&got, &expected) < 1e-5);
    }

    #[test]
    fn a_target_outside_the_vocabulary_is_an_error() {
        let result = token_logprobs(&random((1, 2), 0), &random((3, 2), 1), &[3], 1.0);
        assert!(result.is_err_and(|e| e.to_string().contains("target 3 in a vocabulary of 3")));
    }
}
