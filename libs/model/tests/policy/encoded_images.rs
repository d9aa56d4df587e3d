//! Images of a group that is cut into micro-batches are encoded once, and the tower gets the gradient that it would
//! have got otherwise.

use candle_core::{Device, Tensor, Var};
use vrft_checkpoint::{ALL_LINEAR, LoraConfig, TargetModules};
use vrft_kernels::{Backend, Gradients};
use vrft_model::{EncodedImages, FeatureGradients, PackedGroup, Policy};
use vrft_processor::EncodedPrompt;

use crate::fixture::{Golden, flat, load};
use crate::lora::trained;

/// A policy and a prompt whose group comes in three parts.
struct Lesson {
    policy: Policy,
    prompt: EncodedPrompt,
}

const PARTS: [&[&[u32]]; 3] = [&[&[30, 31, 32], &[33]], &[&[40, 41]], &[&[50, 51, 52, 53]]];

impl Lesson {
    fn new(policy: Policy, prompt: &str) -> Self {
        Self { policy, prompt: Golden::load().prompt(prompt) }
    }

    /// Each part encodes the images for itself.
    fn apart(&self) -> Gradients {
        let mut gradients = Gradients::new(self.policy.backend());
        for idx in 0..PARTS.len() {
            assert!(self.pass(idx, &[], usize::MAX, &mut gradients).is_empty());
        }
        gradients
    }

    /// The images are encoded once for all parts.
    fn together(&self, budget: usize) -> Gradients {
        let mut gradients = Gradients::new(self.policy.backend());
        let mut encoded =
            self.policy.encode_images(&self.prompt, Some(1), budget).unwrap().unwrap();
        for idx in 0..PARTS.len() {
            let of_features = self.pass(idx, &[&encoded], budget, &mut gradients);
            let [of_features] = &of_features[..] else { panic!("no gradient") };
            encoded.add(of_features.clone()).unwrap();
        }
        for (name, variable) in self.policy.variables() {
            let reached = !values(&gradients, variable).is_empty();
            assert_eq!(reached, !name.starts_with("visual."), "{name}");
        }
        encoded.backward(&mut gradients).unwrap();
        gradients
    }

    /// Minus the mean of a part's logprobs, back to the variables; returns what flowed to the features.
    fn pass(
        &self,
        idx: usize,
        encoded: &[&EncodedImages],
        budget: usize,
        gradients: &mut Gradients,
    ) -> Vec<FeatureGradients> {
        let group = PackedGroup { prompt: &self.prompt, completions: PARTS[idx], inserted: &[] };
        // Each with a dropout of its own.
        let seed = 2 + idx as u64;
        let pass = self.policy.training_pass(&[group], 1.0, Some(seed), budget, encoded).unwrap();
        let n = pass.tokens.logprobs.elem_count();
        let gradient = Tensor::full(-1.0 / n as f32, n, &Device::Cpu).unwrap();
        pass.backward(&gradient, None, gradients).unwrap()
    }

    #[track_caller]
    fn check(&self, got: &Gradients, expected: &Gradients) {
        for (name, variable) in self.policy.variables() {
            let (got, expected) = (values(got, variable), values(expected, variable));
            assert_eq!(got.len(), expected.len(), "{name}");
            let length = |values: &mut dyn Iterator<Item = f32>| values.map(|x| x * x).sum::<f32>();
            let apart = length(&mut got.iter().zip(&expected).map(|(a, b)| a - b)).sqrt();
            let whole = length(&mut expected.iter().copied()).sqrt();
            assert!(apart <= 1e-5 * whole, "gradient of {name} off by {}", apart / whole);
        }
    }
}

fn values(gradients: &Gradients, variable: &Var) -> Vec<f32> {
    match gradients.tensor(variable) {
        Some(tensor) => flat(tensor),
        None => gradients.get(variable).map(<[f32]>::to_vec).unwrap_or_default(),
    }
}

#[test]
fn the_tower_gets_the_same_gradient_from_one_encoding() {
    for prompt in ["one_image", "two_images"] {
        let lesson = Lesson::new(load(true), prompt);
        let expected = lesson.apart();
        for budget in [usize::MAX, 0] {
            lesson.check(&lesson.together(budget), &expected);
        }
    }
}

#[test]
fn the_composed_backend_gives_the_same() {
    let lesson = Lesson::new(load(true).with_backend(Backend::Composed), "two_images");
    lesson.check(&lesson.together(usize::MAX), &lesson.apart());
}

#[test]
fn what_is_computed_again_drops_what_it_dropped() {
    let target_modules = TargetModules::Pattern(ALL_LINEAR.into());
    let lora =
        LoraConfig { rank: 4, target_modules, vision: true, dropout: 0.3, ..Default::default() };
    let lesson = Lesson::new(trained(lora), "one_image");
    lesson.check(&lesson.together(0), &lesson.together(usize::MAX));
}

#[test]
fn only_a_trained_tower_encodes_ahead_and_only_if_there_are_images() {
    let golden = Golden::load();
    let [with_image, without] = ["one_image", "no_image"].map(|name| golden.prompt(name));
    assert!(load(false).encode_images(&with_image, None, usize::MAX).unwrap().is_none());
    assert!(load(true).encode_images(&without, None, usize::MAX).unwrap().is_none());
}
