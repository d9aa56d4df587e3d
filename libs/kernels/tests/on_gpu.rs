//! Every operation on a GPU against the CPU, by the same calls: values and all gradients. Needs the feature `cuda` and a
//! GPU, or a driver that stands in for one (`.ci/gpu-driver`).

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::sync::Arc;

use candle_core::{DType, Device, Result, Tensor, Var};
use vrft_kernels::{
    Activation, AttentionGroup, AttentionLayout, Backend, Context, DecodeGroup, DecodeLayout,
    Gradients, Tape, Weight,
};

/// Values in [-1, 1], rounded to a type.
fn random(dims: &[usize], seed: u64, dtype: DType) -> Tensor {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x1234_5678_9abc_def1);
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ((state >> 40) as f32) / (1u64 << 23) as f32 - 1.0
    };
    let values: Vec<f32> = (0..dims.iter().product()).map(next).collect();
    Tensor::from_vec(values, dims, &Device::Cpu).unwrap().to_dtype(dtype).unwrap()
}

fn gpu() -> Device {
    vrft_kernels::open_cuda(0).expect("a GPU, or a driver that stands in for one")
}

fn floats(tensor: &Tensor) -> Vec<f32> {
    let tensor = tensor.to_device(&Device::Cpu).unwrap().to_dtype(DType::F32).unwrap();
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// Result, gradients of the inputs and gradients of the weights, which are added to twice.
fn all_of(
    device: &Device,
    inputs: &[Tensor],
    weights: &[Tensor],
    operation: &impl Fn(&Context, &[Activation], &[Weight]) -> Result<Activation>,
) -> Vec<Vec<f32>> {
    let there = |t: &Tensor| t.to_device(device).unwrap();
    let variables: Vec<Var> =
        weights.iter().map(|t| Var::from_tensor(&there(t)).unwrap()).collect();
    let weights: Vec<Weight> = variables.iter().map(Weight::trainable).collect();
    let context = Context::new(device);
    let mut gradients = Gradients::new(context.backend());
    let mut results = Vec::new();
    for _ in 0..2 {
        let tape = Tape::new();
        let inputs: Vec<_> = inputs.iter().map(|t| tape.input(&there(t)).unwrap()).collect();
        let y = operation(&context.training(&tape), &inputs, &weights).unwrap();
        let slopes = there(&random(y.dims(), 99, y.dtype()));
        let inputs: Vec<&Activation> = inputs.iter().collect();
        let of_inputs = tape.backward(&[(&y, slopes)], &inputs, &mut gradients).unwrap();
        results = vec![floats(&y.detach())];
        results.extend(of_inputs.iter().map(|t| floats(t.as_ref().expect("a gradient"))));
    }
    for variable in &variables {
        results.push(match gradients.tensor(variable) {
            Some(sum) => floats(sum),
            None => gradients.get(variable).expect("a gradient").to_vec(),
        });
    }
    results
}

#[track_caller]
fn near(what: &str, got: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(got.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(1e-6f32, |largest, x| largest.max(x.abs()));
    for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
        // Not "greater": what was never written is no number.
        let is_near = (got - expected).abs() <= tolerance * largest;
        assert!(is_near, "{what}, value {i}: {got}, not {expected}");
    }
}

#[track_caller]
fn check_in(
    dtype: DType,
    inputs: &[Tensor],
    weights: &[Tensor],
    operation: impl Fn(&Context, &[Activation], &[Weight]) -> Result<Activation>,
) {
    let inputs: Vec<Tensor> = inputs.iter().map(|t| t.to_dtype(dtype).unwrap()).collect();
    let expected = all_of(&Device::Cpu, &inputs, weights, &operation);
    let got = all_of(&gpu(), &inputs, weights, &operation);
    assert_eq!(got.len(), expected.len());
    let tolerance = if dtype == DType::F32 { 1e-5 } else { 2e-2 };
    for (i, (got, expected)) in got.iter().zip(&expected).enumerate() {
        near(&format!("{dtype:?}, result {i}"), got, expected, tolerance);
    }
}

#[track_caller]
fn check(
    inputs: &[Tensor],
    weights: &[Tensor],
    operation: impl Fn(&Context, &[Activation], &[Weight]) -> Result<Activation>,
) {
    check_in(DType::F32, inputs, weights, &operation);
    check_in(DType::BF16, inputs, weights, &operation);
}

fn matrix(n: usize, width: usize, seed: u64) -> Tensor {
    random(&[n, width], seed, DType::F32)
}

fn vector(width: usize, seed: u64) -> Tensor {
    random(&[width], seed, DType::F32)
}

#[test]
fn a_gpu_computes_by_its_own_backend() {
    assert_eq!(Context::new(&gpu()).backend(), Backend::Cuda);
}

#[test]
fn normalizations() {
    check(&[matrix(37, 70, 0)], &[vector(70, 1)], |context, x, w| {
        vrft_kernels::rms_norm(context, &x[0], &w[0], 1e-6)
    });
    check(&[matrix(37, 70, 0)], &[vector(70, 1), vector(70, 2)], |context, x, w| {
        vrft_kernels::layer_norm(context, &x[0], &w[0], &w[1], 1e-6)
    });
}

#[test]
fn values_one_by_one() {
    let pair = [matrix(9, 33, 0), matrix(9, 33, 1)];
    check(&pair, &[], |context, x, _| vrft_kernels::add(context, &x[0], &x[1]));
    check(&pair, &[], |context, x, _| vrft_kernels::swiglu(context, &x[0], &x[1]));
    // What comes twice has the sum of both gradients.
    check(&pair[..1], &[], |context, x, _| {
        vrft_kernels::add(context, &vrft_kernels::gelu(context, &x[0])?, &x[0])
    });
    check(&pair[..1], &[], |context, x, _| vrft_kernels::scale(context, &x[0], 0.3));
    check(&pair[..1], &[], |context, x, _| vrft_kernels::quick_gelu(context, &x[0]));
    check(&pair[..1], &[], |context, x, _| vrft_kernels::gelu_tanh(context, &x[0]));
}

#[test]
fn rotations() {
    let angle = matrix(11, 4, 7);
    check(&[matrix(11, 24, 0)], &[], |context, x, _| {
        let there = |t: Tensor| t.to_device(context.device());
        vrft_kernels::rotary(context, &x[0], &there(angle.cos()?)?, &there(angle.sin()?)?)
    });
}

#[test]
fn rows() {
    let picked = [2u32, 0, 2, 8, 2];
    check(&[matrix(9, 33, 0)], &[], |context, x, _| {
        vrft_kernels::select_rows(context, &x[0], &picked)
    });
    check(&[matrix(9, 33, 0), matrix(2, 33, 1)], &[], |context, x, _| {
        vrft_kernels::replace_rows(context, &x[0], &x[1], &[7, 1])
    });
    check(&[], &[matrix(9, 33, 0)], |context, _, w| {
        vrft_kernels::embedding(context, &w[0], &picked, DType::F32)
    });
}

#[test]
fn linear_layers() {
    let weights = [matrix(9, 12, 1), vector(9, 2)];
    check(&[matrix(37, 12, 0)], &weights, |context, x, w| {
        vrft_kernels::linear(context, &x[0], &w[0], Some(&w[1]))
    });
    check(&[matrix(37, 12, 0)], &weights, |context, x, w| {
        vrft_kernels::linear_part(context, &x[0], &w[0], Some(&w[1]), 3..6)
    });
    check(&[matrix(70, 12, 0)], &weights[..1], |context, x, w| {
        let [y] = vrft_kernels::linears(context, &x[0], [(&w[0], None)])?;
        Ok(y)
    });
}

#[test]
fn logprobs_and_entropies() {
    let targets: Vec<u32> = (0..9).map(|i| i * 3 % 31).collect();
    check(&[matrix(9, 8, 0)], &[matrix(31, 8, 1)], |context, x, w| {
        Ok(vrft_kernels::token_logprobs(context, &x[0], &w[0], &targets, 0.7)?.logprobs)
    });
    check_in(DType::F32, &[matrix(9, 8, 0)], &[matrix(31, 8, 1)], |context, x, w| {
        Ok(vrft_kernels::token_logprobs(context, &x[0], &w[0], &targets, 0.7)?.entropy)
    });
}

#[test]
fn attention_over_groups() {
    let group = |prefix, suffixes: &[usize], causal, first_query| AttentionGroup {
        prefix,
        suffixes: suffixes.to_vec(),
        causal,
        first_query,
    };
    let groups =
        vec![group(70, &[50, 3], true, 0), group(9, &[2], true, 8), group(20, &[], false, 0)];
    let layout = Arc::new(AttentionLayout::new(groups));
    for head_dim in [12, 64] {
        let inputs = [
            matrix(layout.n_queries(), 4 * head_dim, 0),
            matrix(layout.n_tokens(), 2 * head_dim, 1),
            matrix(layout.n_tokens(), 2 * head_dim, 2),
        ];
        check(&inputs, &[], |context, x, _| {
            vrft_kernels::attention(context, &x[0], &x[1], &x[2], head_dim, &layout)
        });
    }
}

#[test]
fn attention_while_decoding() {
    let head_dim = 64;
    let mut groups = vec![
        DecodeGroup { rows: 0..3, prefix: 0..100, slots: vec![4, 0, 5], n_suffix: 5 },
        DecodeGroup { rows: 3..5, prefix: 100..140, slots: vec![1, 2], n_suffix: 8 },
    ];
    groups.iter_mut().for_each(|group| group.n_suffix -= 2);
    let attended = |device: &Device, dtype: DType| {
        let there = |dims: &[usize], seed| random(dims, seed, dtype).to_device(device).unwrap();
        let context = Context::new(device).decoding();
        let prefix = [there(&[140, 128], 1), there(&[140, 128], 2)];
        let suffix = [there(&[6, 8, 128], 3), there(&[6, 8, 128], 4)];
        let mut groups = groups.clone();
        let mut all = Vec::new();
        // A step, then one more with what the first has appended.
        for step in 0..2 {
            groups.iter_mut().for_each(|group| group.n_suffix += 1);
            let layout = DecodeLayout::new(groups.clone(), 8);
            let new = |seed| Activation::constant(&there(&[5, 128], seed + step)).unwrap();
            let suffix = suffix.each_ref();
            vrft_kernels::append_newest(&context, suffix, [&new(10), &new(20)], &layout).unwrap();
            let q = Activation::constant(&there(&[5, 256], 30 + step)).unwrap();
            let prefix = prefix.each_ref();
            let y = vrft_kernels::decode_attention(&context, &q, prefix, suffix, head_dim, &layout);
            all.extend(floats(&y.unwrap().detach()));
        }
        all
    };
    for (dtype, tolerance) in [(DType::F32, 1e-5), (DType::BF16, 2e-2)] {
        let expected = attended(&Device::Cpu, dtype);
        near("attended", &attended(&gpu(), dtype), &expected, tolerance);
    }
}

#[test]
fn dropout_drops_the_same_values_in_both_directions() {
    let device = gpu();
    let tape = Tape::new().with_dropout(Some(3));
    let x = tape.input(&Tensor::ones((40, 30), DType::F32, &device).unwrap()).unwrap();
    let y = vrft_kernels::dropout(&Context::new(&device).training(&tape), &x, 0.25, 5).unwrap();
    let kept = floats(&y.detach());
    let slopes = Tensor::ones((40, 30), DType::F32, &device).unwrap();
    let mut gradients = Gradients::new(Backend::Cuda);
    let of_x = tape.backward(&[(&y, slopes)], &[&x], &mut gradients).unwrap();
    assert_eq!(floats(of_x[0].as_ref().expect("a gradient")), kept);
    let dropped = kept.iter().filter(|x| **x == 0.0).count();
    assert!((240..360).contains(&dropped), "{dropped} of 1200");
}

#[test]
fn draws_depend_on_their_own_row_alone() {
    let logits = matrix(3, 50, 1).to_device(&gpu()).unwrap();
    let row = |seed, position| vrft_kernels::DrawRow { seed, position };
    let settings = vrft_kernels::DrawSettings {
        temperature: 1.0,
        top_k: 0,
        top_p: 0.9,
        min_p: 0.0,
        end_ids: Vec::new(),
        min_tokens: 0,
    };
    let sampler = || vrft_kernels::GpuSampler::new(settings.clone(), logits.device()).unwrap();
    let mut one = sampler();
    let mut all = sampler();
    // The third draw follows one of the same rows, whose table is there.
    for position in [4, 9, 10] {
        let drawn = all.draw(&logits, &[1, 2, 3].map(|seed| row(seed, position))).unwrap();
        let alone = one.draw(&logits.narrow(0, 1, 1).unwrap(), &[row(2, position)]).unwrap();
        assert!(drawn.iter().all(Option::is_some));
        assert_eq!(drawn[1], alone[0]);
        assert_eq!(
            drawn,
            sampler().draw(&logits, &[1, 2, 3].map(|seed| row(seed, position))).unwrap()
        );
    }
    // Other rows have a table of their own.
    let other = all.draw(&logits.narrow(0, 0, 1).unwrap(), &[row(2, 9)]).unwrap();
    assert_eq!(other, sampler().draw(&logits.narrow(0, 0, 1).unwrap(), &[row(2, 9)]).unwrap());
}

#[test]
fn the_optimizer_moves_weights_in_place() {
    let device = gpu();
    let [weight, gradient] = [1, 2].map(|seed| matrix(4, 300, seed).to_device(&device).unwrap());
    let zeros = || Tensor::zeros((4, 300), DType::F32, &device).unwrap();
    let before = floats(&weight);
    let moments = vrft_kernels::GpuMoments::F32([zeros(), zeros()]);
    let numbers = vrft_kernels::AdamwNumbers {
        scale: 1.0,
        blend: 0.1,
        beta2: 0.99,
        keep: 1.0,
        rate: 0.01,
        root: 1.0,
        eps: 1e-8,
        key: 0,
    };
    vrft_kernels::adamw_on_gpu(&weight, &gradient, &moments, &numbers).unwrap();
    // The first step is as long for every value: 0.01 · 0.1 / √0.01.
    let after = floats(&weight);
    for ((before, after), g) in before.iter().zip(&after).zip(floats(&gradient)) {
        assert!((before - after - 0.01 * g.signum()).abs() < 1e-5, "{before} {after} {g}");
    }
    let expected: f64 = floats(&gradient).iter().map(|g| f64::from(*g).powi(2)).sum();
    let got = vrft_kernels::squares_on_gpu(&[&gradient, &gradient]).unwrap();
    assert!((got - 2.0 * expected).abs() < 1e-6 * expected);
}
