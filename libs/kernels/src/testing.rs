//! What every kernel's test needs: fixed random tensors, and the comparison of an operation with candle's own
//! and with finite differences.

use candle_core::{Device, Result, Shape, Tensor, Var};

use crate::{Gradients, Tape};

/// Values in [-1, 1] from a fixed sequence.
pub(crate) fn random(shape: impl Into<Shape>, seed: u64) -> Tensor {
    let shape = shape.into();
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x1234_5678_9abc_def1);
    let values: Vec<f32> = (0..shape.elem_count())
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            ((state >> 40) as f32) / (1u64 << 23) as f32 - 1.0
        })
        .collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// Fused and composed must agree in value (1e-5) and gradients (1e-4 of the largest), and the fused gradient
/// with central differences (2 % of the largest: f32 loses the rest).
#[track_caller]
pub(crate) fn check(
    inputs: &[Tensor],
    fused: impl Fn(&[Tensor]) -> Result<Tensor>,
    composed: impl Fn(&[Tensor]) -> Result<Tensor>,
) {
    check_graph(inputs, &fused, &composed);
    let (expected, expected_grads) = value_and_grads(inputs, &composed);
    let taped = [
        ("taped", taped_value_and_grads(inputs, &fused)),
        ("taped, composed", crate::composed(|| taped_value_and_grads(inputs, &fused))),
    ];
    for (way, (value, grads)) in taped {
        let off = difference(&value, &expected);
        assert!(off < 1e-5, "{way}: off by {off}");
        for (i, (grad, expected)) in grads.iter().zip(&expected_grads).enumerate() {
            let off = difference(grad, expected);
            assert!(off < 1e-4, "{way}: gradient of input {i} off by {off}");
        }
    }
}

/// As [`check`], in candle's graph alone.
#[track_caller]
pub(crate) fn check_graph(
    inputs: &[Tensor],
    fused: impl Fn(&[Tensor]) -> Result<Tensor>,
    composed: impl Fn(&[Tensor]) -> Result<Tensor>,
) {
    let (value, grads) = value_and_grads(inputs, &fused);
    let (expected, expected_grads) = value_and_grads(inputs, &composed);
    assert!(difference(&value, &expected) < 1e-5, "value off by {}", difference(&value, &expected));
    for (i, (grad, expected)) in grads.iter().zip(&expected_grads).enumerate() {
        let off = difference(grad, expected);
        assert!(off < 1e-4, "gradient of input {i} off by {off}");
        check_differences(inputs, i, grad, &fused);
    }
}

/// Compares a few entries of a gradient with central differences.
#[track_caller]
fn check_differences(
    inputs: &[Tensor],
    idx: usize,
    grad: &Tensor,
    f: &impl Fn(&[Tensor]) -> Result<Tensor>,
) {
    const STEP: f32 = 1e-2;
    let values = flat(&inputs[idx]);
    let grad = flat(grad);
    let largest = grad.iter().fold(1e-3f32, |a, b| a.max(b.abs()));
    for entry in (0..values.len()).step_by(values.len().div_ceil(7)) {
        let moved = |by: f32| {
            let mut values = values.clone();
            values[entry] += by;
            let mut inputs = inputs.to_vec();
            inputs[idx] = Tensor::from_vec(values, inputs[idx].shape(), &Device::Cpu).unwrap();
            let sum = weighted_sum(&f(&inputs).unwrap()).unwrap();
            f64::from(sum.to_scalar::<f32>().unwrap())
        };
        let slope = ((moved(STEP) - moved(-STEP)) / f64::from(2.0 * STEP)) as f32;
        let off = (slope - grad[entry]).abs() / largest;
        assert!(off < 0.02, "input {idx} entry {entry}: {} but slope {slope}", grad[entry]);
    }
}

fn value_and_grads(
    inputs: &[Tensor],
    f: &impl Fn(&[Tensor]) -> Result<Tensor>,
) -> (Tensor, Vec<Tensor>) {
    let vars: Vec<Var> = inputs.iter().map(|t| Var::from_tensor(t).unwrap()).collect();
    let tensors: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
    let value = f(&tensors).unwrap();
    let grads = weighted_sum(&value).unwrap().backward().unwrap();
    let grads = tensors.iter().map(|t| grads.get(t).expect("every input has a gradient").clone());
    (value.clone(), grads.collect())
}

/// The same on a tape: once with the weights' gradients fresh, once added to, which must double them.
fn taped_value_and_grads(
    inputs: &[Tensor],
    f: &impl Fn(&[Tensor]) -> Result<Tensor>,
) -> (Tensor, Vec<Tensor>) {
    let vars: Vec<Var> = inputs.iter().map(|t| Var::from_tensor(t).unwrap()).collect();
    let tensors: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
    let mut gradients = Gradients::default();
    let mut pass = || {
        let (value, tape) = Tape::record(|| f(&tensors).unwrap());
        tape.backward(&value, &random(value.shape(), 99), &mut gradients).unwrap();
        let grads = vars.iter().map(|var| match gradients.tensor(var) {
            Some(tensor) => flat(tensor),
            None => gradients.get(var).expect("a gradient").to_vec(),
        });
        (value, grads.collect::<Vec<_>>())
    };
    let (value, once) = pass();
    let (_, twice) = pass();
    for (once, twice) in once.iter().flatten().zip(twice.iter().flatten()) {
        assert!((2.0 * once - twice).abs() <= 1e-5 * twice.abs().max(1e-3), "{once}, then {twice}");
    }
    let grads = once.into_iter().zip(inputs);
    let grads = grads.map(|(g, t)| Tensor::from_vec(g, t.shape(), &Device::Cpu).unwrap());
    (value, grads.collect())
}

/// A scalar in which every value counts differently.
fn weighted_sum(t: &Tensor) -> Result<Tensor> {
    (t * random(t.shape(), 99))?.sum_all()
}

/// Largest difference as a share of the largest value.
pub(crate) fn difference(a: &Tensor, b: &Tensor) -> f32 {
    assert_eq!(a.dims(), b.dims());
    let largest = flat(b).iter().fold(1e-6f32, |a, b| a.max(b.abs()));
    flat(a).iter().zip(flat(b)).map(|(a, b)| (a - b).abs() / largest).fold(0.0, f32::max)
}

fn flat(t: &Tensor) -> Vec<f32> {
    t.flatten_all().unwrap().to_vec1().unwrap()
}
