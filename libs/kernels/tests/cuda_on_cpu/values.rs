//! Operands, what the CPU implementations make of them, and comparisons.

use candle_core::{DType, Device, Result, Tensor, Var};
use half::bf16;
use libtest_mimic::Failed;
use vrft_kernels::{Activation, Context, Gradients, Tape, Weight};

/// What a test returns: nothing, or why it failed.
pub(crate) type Outcome = std::result::Result<(), Failed>;

/// The types that kernels compute in.
pub(crate) const DTYPES: [DType; 2] = [DType::F32, DType::BF16];

/// The types of the values and of the weights.
pub(crate) const TYPES: [[DType; 2]; 3] =
    [[DType::F32, DType::F32], [DType::BF16, DType::F32], [DType::BF16, DType::BF16]];

/// A type by its name in the kernels.
pub(crate) fn name(dtype: DType) -> &'static str {
    if dtype == DType::BF16 { "bf16" } else { "f32" }
}

/// Values in [-1, 1] from a fixed sequence, rounded to a type.
pub(crate) fn random(dims: &[usize], seed: u64, dtype: DType) -> Result<Tensor> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x1234_5678_9abc_def1);
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ((state >> 40) as f32) / (1u64 << 23) as f32 - 1.0
    };
    let values: Vec<f32> = (0..dims.iter().product()).map(next).collect();
    Tensor::from_vec(values, dims, &Device::Cpu)?.to_dtype(dtype)
}

/// Result and gradients of an operation by the CPU implementation.
pub(crate) struct OnCpu {
    pub(crate) y: Vec<f32>,
    pub(crate) of_inputs: Vec<Vec<f32>>,
    pub(crate) of_weights: Vec<Vec<f32>>,
}

impl OnCpu {
    pub(crate) fn new(
        inputs: &[&Tensor],
        weights: &[&Tensor],
        gradient: &Tensor,
        operation: impl Fn(&Context, &[Activation], &[Weight]) -> Result<Activation>,
    ) -> Result<Self> {
        let tape = Tape::new();
        let context = Context::new(&Device::Cpu);
        let variables = weights.iter().map(|w| Var::from_tensor(w)).collect::<Result<Vec<_>>>()?;
        let weights: Vec<Weight> = variables.iter().map(Weight::trainable).collect();
        let inputs = inputs.iter().map(|x| tape.input(x)).collect::<Result<Vec<_>>>()?;
        let y = operation(&context.training(&tape), &inputs, &weights)?;
        let mut gradients = Gradients::default();
        let inputs: Vec<&Activation> = inputs.iter().collect();
        let of_inputs = tape.backward(&[(&y, gradient.clone())], &inputs, &mut gradients)?;
        let of_weight = |variable: &Var| gradients.get(variable).unwrap_or_default().to_vec();
        Ok(Self {
            y: floats(&y.detach())?,
            of_inputs: of_inputs.iter().flatten().map(floats).collect::<Result<_>>()?,
            of_weights: variables.iter().map(of_weight).collect(),
        })
    }
}

/// The values of a tensor as f32.
pub(crate) fn floats(tensor: &Tensor) -> Result<Vec<f32>> {
    tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()
}

/// The values of a buffer as f32.
pub(crate) fn values_of(bytes: &[u8], dtype: DType) -> Vec<f32> {
    match dtype {
        DType::BF16 => {
            let bits = bytes.as_chunks().0.iter().map(|x| u16::from_ne_bytes(*x));
            bits.map(|bits| bf16::from_bits(bits).to_f32()).collect()
        }
        _ => bytes.as_chunks().0.iter().map(|x| f32::from_ne_bytes(*x)).collect(),
    }
}

/// Compares a buffer of a type with what it should hold.
pub(crate) fn compare(what: &str, got: &[u8], dtype: DType, expected: &[f32]) -> Outcome {
    let tolerance = if dtype == DType::BF16 { 2e-2 } else { 1e-5 };
    near(what, &values_of(got, dtype), expected, tolerance)
}

/// Compares values with what they should be.
pub(crate) fn near(what: &str, got: &[f32], expected: &[f32], tolerance: f32) -> Outcome {
    if got.len() != expected.len() {
        return Err(format!("{what}: {} values, not {}", got.len(), expected.len()).into());
    }
    let largest = expected.iter().fold(1e-6f32, |largest, x| largest.max(x.abs()));
    for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
        // Not "greater": what was never written is no number.
        let is_near = (got - expected).abs() <= tolerance * largest;
        if !is_near {
            return Err(format!("{what}, value {i}: {got}, not {expected}").into());
        }
    }
    Ok(())
}
