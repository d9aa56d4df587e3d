//! What every operation's test needs: fixed random tensors, and the comparison of an operation, by each backend that
//! runs on the CPU, with candle's own gradients and with finite differences.

use candle_core::{Device, Result, Shape, Tensor, Var};

use crate::{Activation, Backend, Context, Gradients, Tape, Weight};

/// Dropout seed of the tapes here.
pub(crate) const TAPE_SEED: u64 = 7;

/// An operation on activations and weights.
pub(crate) trait Operation:
    Fn(&Context, &[Activation], &[Weight]) -> Result<Activation>
{
}
impl<F: Fn(&Context, &[Activation], &[Weight]) -> Result<Activation>> Operation for F {}

/// Inference by the fused implementation and by the composed one.
pub(crate) fn contexts() -> [Context<'static>; 2] {
    let of = |backend| Context::new(&Device::Cpu).with_backend(backend);
    [Backend::Cpu, Backend::Composed].map(of)
}

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

/// Each backend must agree with `reference`, differentiated by candle, in value (1e-5) and gradients (1e-4 of the
/// largest), and the reference's gradients with central differences (2 % of the largest: f32 loses the rest).
/// `reference` is given the activations, then the weights.
#[track_caller]
pub(crate) fn check(
    activations: &[Tensor],
    weights: &[Tensor],
    operation: impl Operation,
    reference: impl Fn(&[Tensor]) -> Result<Tensor>,
) {
    check_training(activations, weights, &operation, &reference);
    let inputs = [activations, weights].concat();
    let expected = reference(&inputs).unwrap();
    for context in contexts() {
        let activations: Vec<_> = activations.iter().cloned().map(Activation::untracked).collect();
        let weights: Vec<_> = weights.iter().map(Weight::frozen).collect();
        let y = operation(&context, &activations, &weights).unwrap();
        let off = difference(&y.detach(), &expected);
        assert!(off < 1e-5 && !y.has_gradient(), "{:?}: off by {off}", context.backend());
    }
}

/// As [`check`], in training alone.
#[track_caller]
pub(crate) fn check_training(
    activations: &[Tensor],
    weights: &[Tensor],
    operation: impl Operation,
    reference: impl Fn(&[Tensor]) -> Result<Tensor>,
) {
    let inputs = [activations, weights].concat();
    let (expected, expected_gradients) = reference_gradients(&inputs, &reference);
    for (i, gradient) in expected_gradients.iter().enumerate() {
        check_differences(&inputs, i, gradient, &reference);
    }
    for context in contexts() {
        let backend = context.backend();
        let (value, gradients) = taped_gradients(&context, activations, weights, &operation);
        let off = difference(&value, &expected);
        assert!(off < 1e-5, "{backend:?}: off by {off}");
        assert_eq!(gradients.len(), expected_gradients.len());
        for (i, (gradient, expected)) in gradients.iter().zip(&expected_gradients).enumerate() {
            let off = difference(gradient, expected);
            assert!(off < 1e-4, "{backend:?}: gradient of input {i} off by {off}");
        }
    }
}

/// Compares a few entries of a gradient with central differences.
#[track_caller]
fn check_differences(
    inputs: &[Tensor],
    idx: usize,
    gradient: &Tensor,
    f: &impl Fn(&[Tensor]) -> Result<Tensor>,
) {
    const STEP: f32 = 1e-2;
    let values = flat(&inputs[idx]);
    let gradient = flat(gradient);
    let largest = gradient.iter().fold(1e-3f32, |a, b| a.max(b.abs()));
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
        let off = (slope - gradient[entry]).abs() / largest;
        assert!(off < 0.02, "input {idx} entry {entry}: {} but slope {slope}", gradient[entry]);
    }
}

/// Value and gradients by candle's own graph.
fn reference_gradients(
    inputs: &[Tensor],
    f: &impl Fn(&[Tensor]) -> Result<Tensor>,
) -> (Tensor, Vec<Tensor>) {
    let variables: Vec<Var> = inputs.iter().map(|t| Var::from_tensor(t).unwrap()).collect();
    let tensors: Vec<Tensor> = variables.iter().map(|v| v.as_tensor().clone()).collect();
    let value = f(&tensors).unwrap();
    let gradients = weighted_sum(&value).unwrap().backward().unwrap();
    let of = |t: &Tensor| gradients.get(t).expect("every input has a gradient").clone();
    (value.clone(), tensors.iter().map(of).collect())
}

/// Value and gradients by a tape: once with the weights' gradients fresh, once added to, which must double them.
#[track_caller]
fn taped_gradients(
    context: &Context,
    activations: &[Tensor],
    weights: &[Tensor],
    operation: &impl Operation,
) -> (Tensor, Vec<Tensor>) {
    let variables: Vec<Var> = weights.iter().map(|t| Var::from_tensor(t).unwrap()).collect();
    let weights: Vec<Weight> = variables.iter().map(Weight::trainable).collect();
    let mut gradients = Gradients::new(context.backend());
    let mut pass = || {
        let tape = Tape::new().with_dropout(Some(TAPE_SEED));
        let inputs: Vec<_> = activations.iter().map(|t| tape.input(t).unwrap()).collect();
        let y = operation(&context.training(&tape), &inputs, &weights).unwrap();
        let inputs: Vec<&Activation> = inputs.iter().collect();
        let slopes = random(y.dims(), 99);
        let of_inputs = tape.backward(&[(&y, slopes)], &inputs, &mut gradients).unwrap();
        let of_weights = variables.iter().map(|variable| gradient_of(&gradients, variable));
        let of_inputs = of_inputs.into_iter().map(|gradient| gradient.expect("a gradient"));
        (y.detach(), of_inputs.collect::<Vec<_>>(), of_weights.collect::<Vec<_>>())
    };
    let (value, of_inputs, once) = pass();
    let (_, _, twice) = pass();
    for (once, twice) in once.iter().zip(&twice) {
        assert!(difference(&(once * 2.0).unwrap(), twice) < 1e-5, "a sum that is not twice one");
    }
    (value, [of_inputs, once].concat())
}

fn gradient_of(gradients: &Gradients, variable: &Var) -> Tensor {
    match gradients.tensor(variable) {
        Some(tensor) => tensor.copy().unwrap(),
        None => {
            let values = gradients.get(variable).expect("a gradient");
            Tensor::from_slice(values, variable.shape(), &Device::Cpu).unwrap()
        }
    }
}

/// A scalar in which every value counts differently.
fn weighted_sum(t: &Tensor) -> Result<Tensor> {
    (t * random(t.shape(), 99))?.sum_all()
}

/// Largest difference as a share of the largest value.
#[track_caller]
pub(crate) fn difference(a: &Tensor, b: &Tensor) -> f32 {
    assert_eq!(a.dims(), b.dims());
    let largest = flat(b).iter().fold(1e-6f32, |a, b| a.max(b.abs()));
    flat(a).iter().zip(flat(b)).map(|(a, b)| (a - b).abs() / largest).fold(0.0, f32::max)
}

fn flat(t: &Tensor) -> Vec<f32> {
    t.flatten_all().unwrap().to_vec1().unwrap()
}
