//! Logprobs of given tokens straight from hidden states, without a (tokens × vocabulary) tensor.

mod composed;
mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

use candle_core::{Result, bail};

use crate::{Activation, Backend, Context, Weight};

/// Logprob and entropy of each token, both (N,) f32.
#[derive(Debug, Clone)]
pub struct TokenLogprobs {
    /// The log of the probability of each target.
    pub logprobs: Activation,
    /// The entropy of each distribution, in nats.
    pub entropy: Activation,
}

/// Of `softmax(hidden · headᵀ / temperature)`: the log of the target's probability, and the entropy.
///
/// hidden (N, D), head (V, D), N targets. The logits exist for a chunk of rows at a time, and the backward computes
/// them again.
///
/// # Errors
/// Shapes that do not fit, a target outside the vocabulary.
pub fn token_logprobs(
    context: &Context,
    hidden: &Activation,
    head: &Weight,
    targets: &[u32],
    temperature: f64,
) -> Result<TokenLogprobs> {
    let (n, width) = hidden.dims2()?;
    let (vocab_size, head_width) = head.tensor()?.dims2()?;
    if width != head_width {
        bail!("token_logprobs: hidden width {width}, head width {head_width}")
    }
    if targets.len() != n {
        bail!("token_logprobs: {n} hidden states for {} targets", targets.len())
    }
    if let Some(target) = targets.iter().find(|target| **target as usize >= vocab_size) {
        bail!("token_logprobs: target {target} in a vocabulary of {vocab_size}")
    }
    let question = Question { head: head.clone(), targets: targets.to_vec(), temperature };
    let backend = context.backend();
    let results = match backend {
        Backend::Cpu => cpu::forward(hidden.tensor(), &question)?,
        #[cfg(feature = "cuda")]
        Backend::Cuda => cuda::forward(hidden.tensor(), &question)?,
        _ => composed::forward(hidden.tensor(), &question)?,
    };
    let from = hidden.detach();
    let to = hidden.node();
    let [logprobs, entropy] =
        context.record(&[hidden], &[head], results, move |gradients, pass| {
            let of_hidden = match backend {
                Backend::Cpu => cpu::backward(&from, &question, gradients, pass)?,
                #[cfg(feature = "cuda")]
                Backend::Cuda => cuda::backward(&from, &question, gradients, pass)?,
                _ => composed::backward(&from, &question, gradients, pass)?,
            };
            pass.add(to, of_hidden)
        })?;
    Ok(TokenLogprobs { logprobs, entropy })
}

/// What is asked of the hidden states.
struct Question {
    head: Weight,
    targets: Vec<u32>,
    temperature: f64,
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::*;
    use crate::testing::{check, contexts, difference, random};
    use crate::{Gradients, Tape};

    fn reference(t: &[Tensor], targets: &[u32], temperature: f64) -> Result<[Tensor; 2]> {
        composed::results(&t[0], &t[1], targets, temperature)
    }

    #[test]
    fn logprobs_agree_with_candle_and_with_differences() {
        let targets: Vec<u32> = (0..9).map(|i| i * 3 % 31).collect();
        check(
            &[random((9, 8), 0)],
            &[random((31, 8), 1)],
            |context, x, w| Ok(token_logprobs(context, &x[0], &w[0], &targets, 0.7)?.logprobs),
            |t| Ok(reference(t, &targets, 0.7)?[0].clone()),
        );
    }

    #[test]
    fn entropy_agrees_with_candle_and_with_differences() {
        let targets = [0, 1, 2, 30];
        check(
            &[random((4, 8), 0)],
            &[random((31, 8), 1)],
            |context, x, w| Ok(token_logprobs(context, &x[0], &w[0], &targets, 1.3)?.entropy),
            |t| Ok(reference(t, &targets, 1.3)?[1].clone()),
        );
    }

    #[test]
    fn gradients_of_both_results_add_up() {
        let targets = [0, 1, 2, 30];
        let [x, head] = [random((4, 8), 0), random((31, 8), 1)];
        let variable = candle_core::Var::from_tensor(&head).unwrap();
        for context in contexts() {
            let of = |slopes: [Option<f32>; 2]| {
                let tape = Tape::new();
                let x = tape.input(&x).unwrap();
                let head = Weight::trainable(&variable);
                let y = token_logprobs(&context.training(&tape), &x, &head, &targets, 1.3).unwrap();
                let slope = |slope: f32| Tensor::full(slope, 4, &Device::Cpu).unwrap();
                let results = [&y.logprobs, &y.entropy].into_iter().zip(slopes);
                let results: Vec<_> = results.filter_map(|(y, s)| Some((y, slope(s?)))).collect();
                let mut gradients = Gradients::default();
                let of_x = tape.backward(&results, &[&x], &mut gradients).unwrap().remove(0);
                let of_head = gradients.get(&variable).unwrap().to_vec();
                (of_x.unwrap(), Tensor::from_vec(of_head, (31, 8), &Device::Cpu).unwrap())
            };
            let both = of([Some(1.0), Some(2.0)]);
            let first = of([Some(1.0), None]);
            let second = of([None, Some(2.0)]);
            assert!(difference(&both.0, &(first.0 + second.0).unwrap()) < 1e-5);
            assert!(difference(&both.1, &(first.1 + second.1).unwrap()) < 1e-5);
        }
    }

    #[test]
    fn rows_beyond_one_chunk_agree_too() {
        let vocab_size = cpu::LOGITS_PER_CHUNK / 3;
        let hidden = random((7, 2), 0);
        let head = random((vocab_size, 2), 1);
        let targets: Vec<u32> = (0..7).map(|i| i * 1000).collect();
        let x = Activation::untracked(hidden.clone());
        let context = Context::new(&Device::Cpu);
        let got = token_logprobs(&context, &x, &Weight::frozen(&head), &targets, 1.0).unwrap();
        let [expected, _] = reference(&[hidden, head], &targets, 1.0).unwrap();
        assert!(difference(&got.logprobs.detach(), &expected) < 1e-5);
    }

    #[test]
    fn a_target_outside_the_vocabulary_is_an_error() {
        let x = Activation::untracked(random((1, 2), 0));
        let head = random((3, 2), 1);
        let context = Context::new(&Device::Cpu);
        let result = token_logprobs(&context, &x, &Weight::frozen(&head), &[3], 1.0);
        assert!(result.is_err_and(|e| e.to_string().contains("target 3 in a vocabulary of 3")));
    }
}
