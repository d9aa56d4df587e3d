//! Forward and backward of each kernel beside the candle operations that it replaces.

use std::hint::black_box;
use std::sync::Arc;

use candle_core::{D, Device, Result, Tensor, Var};
use criterion::{Criterion, criterion_group, criterion_main};
use vrft_kernels::{Activation, AttentionGroup, AttentionLayout, Context, Gradients, Tape, Weight};

/// Sizes of a tensor.
type Shape<'a> = &'a [usize];

fn random(shape: Shape) -> Tensor {
    Tensor::randn(0f32, 1f32, shape, &Device::Cpu).expect("random values")
}

/// Times value and gradients of an operation at random activations and weights of these shapes.
fn time(
    c: &mut Criterion,
    name: &str,
    [activations, weights]: [&[Shape]; 2],
    f: impl Fn(&Context, &[Activation], &[Weight]) -> Result<Activation>,
) {
    let activations: Vec<Tensor> = activations.iter().map(|shape| random(shape)).collect();
    let variables = weights.iter().map(|shape| Var::from_tensor(&random(shape)));
    let variables = variables.collect::<Result<Vec<Var>>>().expect("variables");
    let weights: Vec<Weight> = variables.iter().map(Weight::trainable).collect();
    let context = Context::new(&Device::Cpu);
    let mut gradients = Gradients::default();
    let mut run = || -> Result<()> {
        let tape = Tape::new();
        let inputs = activations.iter().map(|t| tape.input(t)).collect::<Result<Vec<_>>>()?;
        let y = f(&context.training(&tape), &inputs, &weights)?;
        let slopes = y.detach().ones_like()?;
        let inputs: Vec<&Activation> = inputs.iter().collect();
        gradients.clear();
        black_box(tape.backward(&[(&y, slopes)], &inputs, &mut gradients)?);
        Ok(())
    };
    c.bench_function(name, |b| b.iter(|| run().expect("gradients")));
}

/// The same of candle's operations in candle's graph.
fn time_candle(
    c: &mut Criterion,
    name: &str,
    shapes: &[Shape],
    f: impl Fn(&[Tensor]) -> Result<Tensor>,
) {
    let inputs = shapes.iter().map(|shape| Var::from_tensor(&random(shape)).expect("a variable"));
    let inputs: Vec<Var> = inputs.collect();
    let tensors: Vec<Tensor> = inputs.iter().map(|var| var.as_tensor().clone()).collect();
    let run = || f(&tensors).and_then(|y| y.sum_all()).and_then(|sum| sum.backward());
    let name = format!("{name}, candle");
    c.bench_function(&name, |b| b.iter(|| black_box(run().expect("gradients"))));
}

fn linear(c: &mut Criterion) {
    for (n, d_in, d_out) in [(2400, 192, 512), (1024, 896, 4864)] {
        let [x, w] = [[n, d_in], [d_out, d_in]];
        let name = format!("linear {n}x{d_in}x{d_out}");
        time(c, &name, [&[&x], &[&w]], |context, x, w| {
            vrft_kernels::linear(context, &x[0], &w[0], None)
        });
        time_candle(c, &name, &[&x, &w], |t| t[0].matmul(&t[1].t()?));
    }
}

fn rms_norm(c: &mut Criterion) {
    let name = "rms_norm 2400x192";
    time(c, name, [&[&[2400, 192]], &[&[192]]], |context, x, w| {
        vrft_kernels::rms_norm(context, &x[0], &w[0], 1e-6)
    });
    time_candle(c, name, &[&[2400, 192], &[192]], |t| {
        let rms = (t[0].sqr()?.mean_keepdim(D::Minus1)? + 1e-6)?.sqrt()?;
        t[0].broadcast_div(&rms)?.broadcast_mul(&t[1])
    });
}

fn layer_norm(c: &mut Criterion) {
    time(c, "layer_norm 2400x192", [&[&[2400, 192]], &[&[192], &[192]]], |context, x, w| {
        vrft_kernels::layer_norm(context, &x[0], &w[0], &w[1], 1e-6)
    });
}

fn swiglu(c: &mut Criterion) {
    let (name, shapes): (_, [Shape; 2]) = ("swiglu 2400x512", [&[2400, 512], &[2400, 512]]);
    time(c, name, [&shapes, &[]], |context, x, _| vrft_kernels::swiglu(context, &x[0], &x[1]));
    time_candle(c, name, &shapes, |t| t[0].silu()? * &t[1]);
}

fn quick_gelu(c: &mut Criterion) {
    let (name, shapes): (_, [Shape; 1]) = ("quick_gelu 2400x512", [&[2400, 512]]);
    time(c, name, [&shapes, &[]], |context, x, _| vrft_kernels::quick_gelu(context, &x[0]));
    time_candle(c, name, &shapes, |t| &t[0] * (((&t[0] * -1.702)?.exp()? + 1.0)?).recip()?);
}

fn rotary(c: &mut Criterion) {
    let (cos, sin) = (random(&[2400, 16]), random(&[2400, 16]));
    time(c, "rotary 2400x192", [&[&[2400, 192]], &[]], |context, x, _| {
        vrft_kernels::rotary(context, &x[0], &cos, &sin)
    });
}

/// One group of 8 completions; candle's version repeats the prefix for each.
fn attention(c: &mut Criterion) {
    let name = "attention of a group";
    let prefix = 100;
    let len = 24;
    let n_heads = 6;
    let head_dim = 32;
    let group = AttentionGroup { prefix, suffixes: vec![len; 8], causal: true, first_query: 0 };
    let layout = Arc::new(AttentionLayout::new(vec![group]));
    let width = n_heads * head_dim;
    let rows = [layout.n_tokens(), width];
    time(c, name, [&[&rows, &rows, &rows], &[]], |context, x, _| {
        vrft_kernels::attention(context, &x[0], &x[1], &x[2], head_dim, &layout)
    });
    let rows = [8, prefix + len, width];
    let mask = (0..prefix + len)
        .flat_map(|i| (0..prefix + len).map(move |j| if j > i { f32::NEG_INFINITY } else { 0.0 }));
    let mask = Tensor::from_iter(mask, &Device::Cpu)
        .and_then(|mask| mask.reshape((prefix + len, prefix + len)))
        .expect("a mask");
    time_candle(c, name, &[&rows, &rows, &rows], |t| {
        let heads = |t: &Tensor| {
            t.reshape((8, prefix + len, n_heads, head_dim))?.transpose(1, 2)?.contiguous()
        };
        let (q, k, v) = (heads(&t[0])?, heads(&t[1])?, heads(&t[2])?);
        let scores = (q.matmul(&k.t()?)? / (head_dim as f64).sqrt())?.broadcast_add(&mask)?;
        let scores = scores.broadcast_sub(&scores.max_keepdim(D::Minus1)?.detach())?.exp()?;
        scores.broadcast_div(&scores.sum_keepdim(D::Minus1)?)?.matmul(&v)
    });
}

/// A completion token's logprob in a vocabulary of 8192, of 512 tokens.
fn token_logprobs(c: &mut Criterion) {
    let (name, [x, head]) = ("token_logprobs 512 of 8192", [[512, 512], [8192, 512]]);
    let targets: Vec<u32> = (0..512).collect();
    time(c, name, [&[&x], &[&head]], |context, x, w| {
        Ok(vrft_kernels::token_logprobs(context, &x[0], &w[0], &targets, 1.0)?.logprobs)
    });
    time_candle(c, name, &[&x, &head], |t| {
        let logits = t[0].matmul(&t[1].t()?)?;
        let logits = logits.broadcast_sub(&logits.max_keepdim(D::Minus1)?.detach())?;
        let normalizer = logits.exp()?.sum_keepdim(D::Minus1)?.log()?;
        let targets = Tensor::new(&targets[..], &Device::Cpu)?.unsqueeze(1)?;
        logits.broadcast_sub(&normalizer)?.gather(&targets, 1)
    });
}

/// One token for each of 8 rows: products of a few rows with a large matrix.
fn decode(c: &mut Criterion) {
    let x = Activation::constant(&random(&[8, 896])).expect("an activation");
    let weight = Weight::frozen(&random(&[4864, 896]));
    let context = Context::new(&Device::Cpu).decoding();
    let run = || vrft_kernels::linear(&context, &x, &weight, None).expect("a product");
    c.bench_function("linear 8x896x4864, decoding", |b| b.iter(|| black_box(run())));
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = linear, rms_norm, layer_norm, swiglu, quick_gelu, rotary, attention, token_logprobs, decode
}
criterion_main!(benches);
