//! The policy computed by the reference backend, which is composed of candle's operations, agrees with the fused one to
//! 1e-4 in logits, logprobs and the gradient of every parameter.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use vrft_kernels::{Backend, Gradients};
use vrft_model::{LoadOptions, PackedGroup, Policy};

use crate::fixture::{difference, flat, golden_dir, options, relative_difference};
use crate::models::Case;

const TOLERANCE: f32 = 1e-4;

/// What a policy makes of a case.
struct Outcome {
    logits: Tensor,
    logprobs: Tensor,
    entropy: Tensor,
    /// Logits of two rows after some steps of decoding, in which the first of three rows has ended.
    decoded: Tensor,
    gradients: BTreeMap<String, Tensor>,
}

fn outcome(case: &Case, policy: &Policy, budget: usize) -> Outcome {
    let (prompt, completion) = (case.prompt(), case.completion());
    let completions = [completion, &completion[..4], &completion[2..]];
    let short = [&completion[1..3]];
    let groups = [
        PackedGroup { prompt: &prompt, completions: &completions, inserted: &[] },
        PackedGroup { prompt: &prompt, completions: &short, inserted: &[] },
    ];
    let pass = policy.training_pass(&groups, 0.8, Some(1), budget, &[]).unwrap();
    let (logprobs, entropy) = (pass.tokens.logprobs.clone(), pass.tokens.entropy.clone());
    let n = logprobs.elem_count();
    let slopes = |step: usize| -> Tensor {
        let slopes = (0..n).map(|i| (i * step % 13) as f32 / 6.0 - 1.0).collect();
        Tensor::from_vec(slopes, n, &Device::Cpu).unwrap()
    };
    let mut gradients = Gradients::new(policy.backend());
    pass.backward(&slopes(7), Some(&slopes(5)), &mut gradients).unwrap();
    let gradient = |(name, variable): (&String, &candle_core::Var)| {
        let fused = policy.backend() == Backend::Cpu;
        let gradient = match gradients.tensor(variable) {
            Some(tensor) => tensor.clone(),
            None => {
                let values = gradients.get(variable).unwrap_or_else(|| panic!("none for {name}"));
                Tensor::from_slice(values, variable.shape(), &Device::Cpu).unwrap()
            }
        };
        assert_eq!(
            gradients.get(variable).is_some(),
            fused,
            "{name} has a gradient of the other backend"
        );
        (name.clone(), gradient)
    };
    let gradients = policy.variables().iter().map(gradient).collect();
    let mut session = policy.start(&[&prompt, &prompt], 2).unwrap();
    session.retain(&[false, true, true, true]).unwrap();
    for token in &completion[..5] {
        session.step(&[*token, 20, 21]).unwrap();
    }
    Outcome {
        logits: policy.trace(&case.whole).unwrap().logits.unwrap(),
        logprobs,
        entropy,
        decoded: session.logits().clone(),
        gradients,
    }
}

#[track_caller]
fn check(name: &'static str) {
    let case = Case::load(name);
    let policy = case.policy(true);
    let expected = outcome(&case, &policy, usize::MAX);
    let policy = policy.with_backend(Backend::Composed);
    // All activations kept, and all layers computed again in the backward pass.
    for budget in [usize::MAX, 0] {
        let got = outcome(&case, &policy, budget);
        for (what, got, expected) in [
            ("logits", &got.logits, &expected.logits),
            ("logprobs", &got.logprobs, &expected.logprobs),
            ("entropy", &got.entropy, &expected.entropy),
            ("decoded logits", &got.decoded, &expected.decoded),
        ] {
            let off = difference(got, expected);
            assert!(off <= TOLERANCE, "{what} of {name} off by {off}");
        }
        for (parameter, gradient) in &got.gradients {
            let off = relative_difference(gradient, &expected.gradients[parameter]);
            assert!(off <= TOLERANCE, "gradient of {parameter} off by {off} at {budget}");
        }
    }
}

#[test]
fn qwen2_about_images() {
    check("qwen2_vl.images");
}

#[test]
fn qwen2_5_about_images() {
    check("qwen2_5_vl.images");
}

#[test]
fn qwen2_5_about_a_video() {
    check("qwen2_5_vl.video");
}

#[test]
fn an_adapter() {
    check("lora.images");
}

/// bfloat16 rounds in other places, to 8 bits: gradients, which are sums of many such roundings, agree to a tenth.
#[test]
fn bfloat16() {
    let case = Case::load("qwen2_5_vl.images");
    let options = LoadOptions { dtype: DType::BF16, ..options(true) };
    let policy = Policy::load(&golden_dir().join("qwen2_5_vl"), &options).unwrap();
    let expected = outcome(&case, &policy, usize::MAX);
    let got = outcome(&case, &policy.with_backend(Backend::Composed), 0);
    let off = difference(&got.logprobs, &expected.logprobs);
    assert!(off < 0.1, "logprobs off by {off}");
    for (parameter, gradient) in &got.gradients {
        let off = relative_difference(gradient, &expected.gradients[parameter]);
        assert!(off < 0.15 && flat(gradient).iter().any(|g| *g != 0.0), "{parameter} off by {off}");
    }
}
