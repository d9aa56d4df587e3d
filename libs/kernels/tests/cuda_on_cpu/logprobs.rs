//! Logprobs and entropies from logits, and the gradient of the logits.

use candle_core::{DType, Device, Tensor};
use vrft_kernels::{Context, Tape, Weight, token_logprobs};

use crate::Case;
use crate::program::{Argument, Grid, Program};
use crate::values::{DTYPES, Outcome, compare, floats, name, near, random};

const THREADS: u32 = 128;

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for dtype in DTYPES {
        for (n, vocab_size) in [(1, 3), (5, 200), (7, 1031)] {
            let case = format!("token_logprobs_of_{n}x{vocab_size}_{}", name(dtype));
            let run = move |program: &Program| check(program, dtype, n, vocab_size);
            cases.push(Case::new(case + "_equal_the_cpu", run));
        }
    }
    cases.push(Case::new("a_token_without_probability_adds_no_entropy", impossible));
    cases
}

/// With the identity as hidden states, logits are the head's own values.
fn check(program: &Program, dtype: DType, n: usize, vocab_size: usize) -> Outcome {
    let temperature = 0.7;
    let logits = (random(&[n, vocab_size], 1, dtype)? * 6.0)?;
    let head = Weight::frozen(&logits.t()?.contiguous()?);
    let hidden = Tensor::eye(n, dtype, &Device::Cpu)?;
    let targets: Vec<u32> = (0..n as u32).map(|i| i * 31 % vocab_size as u32).collect();
    let slopes = [random(&[n], 2, DType::F32)?, random(&[n], 3, DType::F32)?];
    let tape = Tape::new();
    let context = Context::new(&Device::Cpu);
    let x = tape.input(&hidden)?;
    let y = token_logprobs(&context.training(&tape), &x, &head, &targets, temperature)?;
    let wide = Argument::of(&logits.to_dtype(DType::F32)?)?;
    let ends = [Argument::size(vocab_size), Argument::number((1.0 / temperature) as f32)];
    let mut arguments = vec![wide.clone(), Argument::words(&targets)];
    arguments.extend([Argument::room(n, DType::F32), Argument::room(n, DType::F32)]);
    arguments.extend(ends.clone());
    let got = program.launch("token_logprobs_forward", Grid::new(n as u32, THREADS), &arguments)?;
    compare("logprobs", &got[2], DType::F32, &floats(&y.logprobs.detach())?)?;
    compare("entropy", &got[3], DType::F32, &floats(&y.entropy.detach())?)?;

    let [of_logprobs, of_entropy] = &slopes;
    let mut arguments = vec![wide, Argument::words(&targets)];
    arguments.extend([Argument::of(of_logprobs)?, Argument::of(of_entropy)?]);
    arguments.push(Argument::room(n * vocab_size, dtype));
    arguments.extend(ends);
    let kernel = format!("token_logprobs_backward_{}", name(dtype));
    let got = program.launch(&kernel, Grid::new(n as u32, THREADS), &arguments)?;
    let results = [(&y.logprobs, of_logprobs.clone()), (&y.entropy, of_entropy.clone())];
    let mut gradients = vrft_kernels::Gradients::default();
    let of_hidden = tape.backward(&results, &[&x], &mut gradients)?;
    let of_hidden = of_hidden.into_iter().flatten().next().ok_or("no gradient")?;
    // The gradient of the hidden states is that of the logits times the head.
    let of_logits = crate::values::values_of(&got[4], dtype);
    let of_logits = Tensor::from_vec(of_logits, (n, vocab_size), &Device::Cpu)?;
    let product = of_logits.matmul(&logits.t()?.to_dtype(DType::F32)?.contiguous()?)?;
    let tolerance = if dtype == DType::BF16 { 2e-2 } else { 1e-5 };
    near("gradient", &floats(&product)?, &floats(&of_hidden)?, tolerance)
}

fn impossible(program: &Program) -> Outcome {
    let logits = Tensor::new(&[[0.0f32, f32::NEG_INFINITY, 0.0]], &Device::Cpu)?;
    let mut arguments = vec![Argument::of(&logits)?, Argument::words(&[2])];
    arguments.extend([Argument::room(1, DType::F32), Argument::room(1, DType::F32)]);
    arguments.extend([Argument::size(3), Argument::number(1.0)]);
    let got = program.launch("token_logprobs_forward", Grid::new(1, THREADS), &arguments)?;
    compare("logprob", &got[2], DType::F32, &[-std::f32::consts::LN_2])?;
    compare("entropy", &got[3], DType::F32, &[std::f32::consts::LN_2])
}
