//! A shared prefix gives what the naive computation gives, and every variable its gradient.

use candle_core::Tensor;
use vrft_model::{ModelError, PackedGroup, Policy};
use vrft_processor::EncodedPrompt;

use crate::fixture::{
    Golden, difference, flat, load, loss_and_grads, options, relative_difference,
};

/// Two groups of different length: three completions about one image, two without any.
struct Groups {
    prompts: [EncodedPrompt; 2],
    completions: [Vec<Vec<u32>>; 2],
}

impl Groups {
    fn load() -> Self {
        let golden = Golden::load();
        let mut second = golden.cases["no_image"].completion_ids.clone();
        second.push(vec![20]);
        Self {
            prompts: [golden.prompt("one_image"), golden.prompt("no_image")],
            completions: [golden.cases["one_image"].completion_ids.clone(), second],
        }
    }

    fn n_tokens(&self) -> usize {
        self.completions.iter().flatten().map(Vec::len).sum()
    }
}

/// Logprobs and the gradients of their mean: both groups in one forward.
fn packed(policy: &Policy, groups: &Groups) -> (Vec<f32>, Vec<Tensor>) {
    let completions = groups.completions.each_ref().map(|c| slices(c));
    let packed: Vec<PackedGroup> = groups
        .prompts
        .iter()
        .zip(&completions)
        .map(|(prompt, completions)| PackedGroup { prompt, completions, inserted: &[] })
        .collect();
    let logprobs = flat(&policy.logprobs(&packed, 1.0).expect("a forward").logprobs);
    (logprobs, loss_and_grads(policy, &packed).1.into_values().collect())
}

/// The same one completion at a time, each with its own copy of the prompt.
fn naive(policy: &Policy, groups: &Groups) -> (Vec<f32>, Vec<Tensor>) {
    let mut logprobs = Vec::new();
    let mut sums: Vec<Tensor> = Vec::new();
    for (prompt, completions) in groups.prompts.iter().zip(&groups.completions) {
        for completion in slices(completions) {
            let alone = [PackedGroup { prompt, completions: &[completion], inserted: &[] }];
            logprobs.extend(flat(&policy.logprobs(&alone, 1.0).expect("a forward").logprobs));
            let share = completion.len() as f64 / groups.n_tokens() as f64;
            let grads = loss_and_grads(policy, &alone).1.into_values();
            let grads = grads.map(|grad| (grad * share).expect("a product"));
            sums = if sums.is_empty() {
                grads.collect()
            } else {
                grads.zip(&sums).map(|(a, b)| (a + b).expect("a sum")).collect()
            };
        }
    }
    (logprobs, sums)
}

fn slices(completions: &[Vec<u32>]) -> Vec<&[u32]> {
    completions.iter().map(Vec::as_slice).collect()
}

#[test]
fn groups_in_one_forward_equal_completions_one_by_one() {
    let policy = load(true);
    let groups = Groups::load();
    let (logprobs, grads) = packed(&policy, &groups);
    let (expected, expected_grads) = naive(&policy, &groups);
    assert_eq!(logprobs.len(), groups.n_tokens());
    for (a, b) in logprobs.iter().zip(&expected) {
        assert!((a - b).abs() <= 1e-4 * b.abs().max(1.0), "logprob {a}, naive {b}");
    }
    for ((name, a), b) in policy.variables().keys().zip(&grads).zip(&expected_grads) {
        let off = relative_difference(a, b);
        assert!(off < 1e-4, "gradient of {name} off by {off}");
    }
}

#[test]
fn every_variable_gets_a_finite_gradient_that_is_not_zero() {
    let policy = load(true);
    let groups = Groups::load();
    for ((name, _), grad) in policy.variables().iter().zip(packed(&policy, &groups).1) {
        let values = flat(&grad);
        assert!(values.iter().all(|g| g.is_finite()), "{name}");
        assert!(values.iter().any(|g| *g != 0.0), "{name}");
    }
}

#[test]
fn the_same_call_gives_the_same_bits() {
    let policy = load(true);
    let groups = Groups::load();
    let (first, second) = (packed(&policy, &groups), packed(&policy, &groups));
    assert_eq!(first.0, second.0);
    assert!(first.1.iter().zip(&second.1).all(|(a, b)| difference(a, b) == 0.0));
}

#[test]
fn a_frozen_tower_has_no_variables_and_the_rest_trains() {
    let mut options = options(true);
    options.freeze_vision = true;
    let policy = Policy::load(&crate::fixture::golden_dir().join("qwen2_vl"), &options).unwrap();
    assert!(policy.variables().keys().all(|name| !name.starts_with("visual.")));
    let (_, grads) = packed(&policy, &Groups::load());
    assert_eq!(grads.len(), policy.variables().len());
}

/// bfloat16 keeps 8 bits of a value: the logprobs agree to a few percent of their spread.
#[test]
fn bfloat16_gives_nearly_the_same_and_every_variable_a_gradient() {
    let mut options = options(true);
    options.dtype = candle_core::DType::BF16;
    let policy = Policy::load(&crate::fixture::golden_dir().join("qwen2_vl"), &options).unwrap();
    let groups = Groups::load();
    let (logprobs, grads) = packed(&policy, &groups);
    let (expected, _) = packed(&load(true), &groups);
    let off = logprobs.iter().zip(&expected).map(|(a, b)| (a - b).abs()).sum::<f32>();
    assert!(off / (logprobs.len() as f32) < 0.1, "off by {off} over {} tokens", logprobs.len());
    assert!(grads.iter().all(|grad| flat(grad).iter().any(|g| *g != 0.0)));
    let mut session = policy.start(&[&groups.prompts[0]], 2).unwrap();
    session.step(&[20, 21]).unwrap();
    assert_eq!(session.logits().dtype(), candle_core::DType::F32);
}

#[test]
fn an_untrainable_policy_has_an_empty_tape() {
    let golden = Golden::load();
    let prompt = golden.prompt("no_image");
    let policy = load(false);
    let group = PackedGroup { prompt: &prompt, completions: &[&[5, 6]], inserted: &[] };
    let pass = policy.training_pass(&[group], 1.0, None, usize::MAX, &[]).unwrap();
    assert!(format!("{pass:?}").contains("Tape of 0 steps"), "{pass:?}");
}

#[track_caller]
fn check_error(change: impl Fn(&mut EncodedPrompt), completion: &[u32], expected: &str) {
    let mut prompt = Golden::load().prompt("one_image");
    change(&mut prompt);
    let group = PackedGroup { prompt: &prompt, completions: &[completion], inserted: &[] };
    let error: ModelError = load(false).logprobs(&[group], 1.0).unwrap_err();
    assert_eq!(error.to_string(), expected);
}

#[test]
fn an_empty_completion_is_refused() {
    check_error(|_| (), &[], "completion 0 of group 0 should be at least 1 token, got 0")
}

#[test]
fn a_token_outside_the_vocabulary_is_refused() {
    check_error(
        |_| (),
        &[320],
        "tokens of completion 0 of group 0 should be below the vocabulary's 320, got 320",
    )
}

#[test]
fn placeholders_that_do_not_match_the_images_are_refused() {
    check_error(
        |prompt| prompt.images.clear(),
        &[1],
        "image tokens of prompt 0 should be 0, as its 0 images give, got 8",
    )
}

#[test]
fn patches_of_another_size_are_refused() {
    check_error(
        |prompt| prompt.images[0].pixels.truncate(32 * 100),
        &[1],
        "pixels of image 0 should be 32 patches of 384 values, got 3200 values",
    )
}
