//! Forward and backward of each kernel beside the candle operations that it replaces.

use std::hint::black_box;
use std::sync::Arc;

use candle_core::{D, Device, Result, Tensor, Var};
use criterion::{Criterion, criterion_group, criterion_main};
use vrft_kernels::{AttentionGroup, AttentionLayout};

fn random(shape: &[usize]) -> Tensor {
    Tensor::randn(0f32, 1f32, shape, &Device::Cpu).expect("random values")
}

/// Times value and gradients of `f` at random inputs of these shapes.
fn time(
    c: &mut Criterion,
    name: &str,
    shapes: &[&[usize]],
    f: impl Fn(&[Tensor]) -> Result<Tensor>,
) {
    let inputs = shapes.iter().map(|shape| Var::from_tensor(&random(shape)).expect("a variable"));
    let inputs: Vec<Var> = inputs.collect();
    let tensors: Vec<Tensor> = inputs.iter().map(|var| var.as_tensor().clone()).collect();
    let run = || f(&tensors).and_then(|y| y.sum_all()).and_then(|sum| sum.backward());
    c.bench_function(name, |b| b.iter(|| black_box(run().expect("gradients"))));
}

fn linear(c: &mut Criterion) {
    for (n, d_in, d_out) in [(2400, 192, 512), (1024, 896, 4864)] {
        let shapes: [&[usize]; 2] = [&[n, d_in], &[d_out, d_in]];
        let name = format!("linear {n}x{d_in}x{d_out}");
        time(c, &name, &shapes, |t| vrft_kernels::linear(&t[0], &t[1], None));
        time(c, &format!("{name}, candle"), &shapes, |t| t[0].matmul(&t[1].t()?));
    }
}

fn rms_norm(c: &mut Criterion) {
    let shapes: [&[usize]; 2] = [&[2400, 192], &[192]];
    time(c, "rms_norm 2400x192", &shapes, |t| vrft_kernels::rms_norm(&t[0], &t[1], 1e-6));
    time(c, "rms_norm 2400x192, candle", &shapes, |t| {
        let rms = (t[0].sqr()?.mean_keepdim(D::Minus1)? + 1e-6)?.sqrt()?;
        t[0].broadcast_div(&rms)?.broadcast_mul(&t[1])
    });
}

fn swiglu(c: &mut Criterion) {
    let shapes: [&[usize]; 2] = [&[2400, 512], &[2400, 512]];
    time(c, "swiglu 2400x512", &shapes, |t| vrft_kernels::swiglu(&t[0], &t[1]));
    time(c, "swiglu 2400x512, candle", &shapes, |t| t[0].silu()? * &t[1]);
}

/// One group of 8 completions; candle's version repeats the prefix for each.
fn attention(c: &mut Criterion) {
    let (prefix, len, n_heads, head_dim) = (100, 24, 6, 32);
    let group = AttentionGroup { prefix, suffixes: vec![len; 8], causal: true, first_query: 0 };
    let layout = Arc::new(AttentionLayout { groups: vec![group] });
    let width = n_heads * head_dim;
    let rows = [layout.n_tokens(), width];
    time(c, "attention of a group", &[&rows, &rows, &rows], |t| {
        vrft_kernels::attention(&t[0], &t[1], &t[2], head_dim, &layout)
    });
    let rows = [8, prefix + len, width];
    let mask = (0..prefix + len)
        .flat_map(|i| (0..prefix + len).map(move |j| if j > i { f32::NEG_INFINITY } else { 0.0 }));
    let mask = Tensor::from_iter(mask, &Device::Cpu)
        .and_then(|mask| mask.reshape((prefix + len, prefix + len)))
        .expect("a mask");
    time(c, "attention of a group, candle", &[&rows, &rows, &rows], |t| {
        let heads = |t: &Tensor| {
            t.reshape((8, prefix + len, n_heads, head_dim))?.transpose(1, 2)?.contiguous()
        };
        let (q, k, v) = (heads(&t[0])?, heads(&t[1])?, heads(&t[2])?);
        let scores = (q.matmul(&k.t()?)? / (head_dim as f64).sqrt())?.broadcast_add(&mask)?;
        let scores = scores.broadcast_sub(&scores.max_keepdim(D::Minus1)?.detach())?.exp()?;
        scores.broadcast_div(&scores.sum_keepdim(D::Minus1)?)?.matmul(&v)
    });
}

fn layer_norm(c: &mut Criterion) {
    let shapes: [&[usize]; 3] = [&[2400, 192], &[192], &[192]];
    time(c, "layer_norm 2400x192", &shapes, |t| {
        vrft_kernels::layer_norm(&t[0], &t[1], &t[2], 1e-6)
    });
}

fn quick_gelu(c: &mut Criterion) {
    time(c, "quick_gelu 2400x512", &[&[2400, 512]], |t| vrft_kernels::quick_gelu(&t[0]));
    time(c, "quick_gelu 2400x512, candle", &[&[2400, 512]], |t| {
        &t[0] * (((&t[0] * -1.702)?.exp()? + 1.0)?).recip()?
    });
}

fn rotary(c: &mut Criterion) {
    let (cos, sin) = (random(&[2400, 16]), random(&[2400, 16]));
    time(c, "rotary 2400x192", &[&[2400, 192]], |t| vrft_kernels::rotary(&t[0], &cos, &sin));
}

/// A completion token's logprob in a vocabulary of 8192, of 512 tokens.
fn token_logprobs(c: &mut Criterion) {
    let targets: Vec<u32> = (0..512).collect();
    let shapes: [&[usize]; 2] = [&[512, 512], &[8192, 512]];
    time(c, "token_logprobs 512 of 8192", &shapes, |t| {
        Ok(vrft_kernels::token_logprobs(&t[0], &t[1], &targets, 1.0)?.0)
    });
    time(c, "token_logprobs 512 of 8192, candle", &shapes, |t| {
        let logits = t[0].matmul(&t[1].t()?)?;
        let logits = logits.broadcast_sub(&logits.max_keepdim(D::Minus1)?.detach())?;
        let normalizer = logits.exp()?.sum_keepdim(D::Minus1)?.log()?;
        let targets = Tensor::new(&targets[..], &Device::Cpu)?.unsqueeze(1)?;
        logits.broadcast_sub(&normalizer)?.gather(&targets, 1)
    });
}

/// One token for each of 8 rows: products of a few rows with a large matrix.
fn decode(c: &mut Criterion) {
    let (x, weight) = (random(&[8, 896]), random(&[4864, 896]));
    c.bench_function("linear 8x896x4864, forward", |b| {
        b.iter(|| black_box(vrft_kernels::linear(&x, &weight, None).expect("a product")))
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = linear, rms_norm, layer_norm, swiglu, quick_gelu, rotary, attention, token_logprobs, decode
}
criterion_main!(benches);
