//! Forward and backward of each kernel beside the candle operations that it replaces.

use std::hint::black_box;
use std::sync::Arc;

use candle_core::{D, Device, Result, Tensor, Var};
use criterion::{Criterion, criterion_group, criterion_main};
use kernels::{AttentionGroup, AttentionLayout};

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
        time(c, &name, &shapes, |t| kernels::linear(&t[0], &t[1], None));
        time(c, &format!("{name}, candle"), &shapes, |t| t[0].matmul(&t[1].t()?));
    }
}

fn rms_norm(c: &mut Criterion) {
    let shapes: [&[usize]; 2] = [&[2400, 192], &[192]];
    time(c, "rms_norm 2400x192", &shapes, |t| kernels::rms_norm(&t[0], &t[1], 1e-6));
    time(c, "rms_norm 2400x192, candle", &shapes, |t| {
        let rms = (t[0].sqr()?.mean_keepdim(D::Minus1)? + 1e-6)?.sqrt()?;
        t[0].broadcast_div(&rms)?.broadcast_mul(&t[1])
    });
}

fn swiglu(c: &mut Criterion) {
    let shapes: [&[usize]; 2] = [&[2400, 512], &[2400, 512]];
    time(c, "swiglu 2400x512", &shapes, |t| kernels::swiglu(&t[0], &t[1]));
    time(c, "swiglu 2400x512, candle", &shapes, |t| t[0].silu()? * &t[1]);
}

/// One group of 8 completions; candle's version repeats the prefix for each.
fn attention(c: &mut Criterion) {
    let (prefix, len, n_heads, head_dim) = (100, 24, 6, 32);
    let group = AttentionGroup { prefix, suffixes: vec![len; 8], causal: true };
    let layout = Arc::new(AttentionLayout { groups: vec![group] });
    let width = n_heads * head_dim;
    let rows = [layout.n_tokens(), width];
    time(c, "attention of a group", &[&rows, &rows, &rows], |t| {
        kernels::attention(&t[0], &t[1], &t[2], head_dim, &layout)
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

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = linear, rms_norm, swiglu, attention
}
criterion_main!(benches);
