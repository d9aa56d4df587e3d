//! Images of a group that is cut apart are encoded once, and the tower learns what it would have learned.

use candle_core::{Device, Tensor, Var};
use vrft_checkpoint::{ALL_LINEAR, LoraConfig, TargetModules};
use vrft_kernels::Gradients;
use vrft_model::{EncodedPrompt, PackedGroup, Policy, SeenImages};

use crate::fixture::{Golden, flat, load};
use crate::lora::trained;

/// What a group in three parts teaches.
struct Lesson {
    policy: Policy,
    prompt: EncodedPrompt,
}

const PARTS: [&[&[u32]]; 3] = [&[&[30, 31, 32], &[33]], &[&[40, 41]], &[&[50, 51, 52, 53]]];

impl Lesson {
    fn new(policy: Policy, prompt: &str) -> Self {
        Self { policy, prompt: Golden::load().prompt(prompt) }
    }

    /// Each part looks for itself.
    fn apart(&self) -> Gradients {
        let mut gradients = Gradients::default();
        for idx in 0..PARTS.len() {
            assert!(self.pass(idx, &[], usize::MAX, &mut gradients).is_empty());
        }
        gradients
    }

    /// One look for all.
    fn together(&self, budget: usize) -> Gradients {
        let mut gradients = Gradients::default();
        let mut seen = self.policy.see(&self.prompt, 1, budget).unwrap().unwrap();
        for idx in 0..PARTS.len() {
            let of_features = self.pass(idx, &[&seen], budget, &mut gradients);
            let [Some(gradient)] = &of_features[..] else { panic!("no gradient") };
            seen.add(gradient.clone()).unwrap();
        }
        for (name, variable) in self.policy.variables() {
            let reached = !values(&gradients, variable).is_empty();
            assert_eq!(reached, !name.starts_with("visual."), "{name}");
        }
        seen.backward(&self.policy, &mut gradients).unwrap();
        gradients
    }

    /// Minus the mean of a part's logprobs, back to the variables; returns what flowed to the features.
    fn pass(
        &self,
        idx: usize,
        seen: &[&SeenImages],
        budget: usize,
        gradients: &mut Gradients,
    ) -> Vec<Option<Tensor>> {
        let group = PackedGroup { prompt: &self.prompt, completions: PARTS[idx] };
        // Each with a dropout of its own.
        let seed = 2 + idx as u64;
        let pass = self.policy.training_pass(&[group], 1.0, seed, budget, seen).unwrap();
        let n = pass.tokens.logprobs.elem_count();
        let gradient = Tensor::full(-1.0 / n as f32, n, &Device::Cpu).unwrap();
        pass.backward(&gradient, gradients).unwrap()
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
fn the_tower_learns_the_same_from_one_look() {
    for prompt in ["one_image", "two_images"] {
        let lesson = Lesson::new(load(true), prompt);
        let expected = lesson.apart();
        for budget in [usize::MAX, 0] {
            lesson.check(&lesson.together(budget), &expected);
        }
    }
}

#[test]
fn the_same_where_nothing_is_fused() {
    vrft_kernels::composed(|| {
        let lesson = Lesson::new(load(true), "two_images");
        lesson.check(&lesson.together(usize::MAX), &lesson.apart());
    });
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
fn a_tower_that_is_not_trained_need_not_look() {
    let golden = Golden::load();
    let (asking, silent) = (golden.prompt("one_image"), golden.prompt("no_image"));
    assert!(load(false).see(&asking, 1, usize::MAX).unwrap().is_none());
    assert!(load(true).see(&silent, 1, usize::MAX).unwrap().is_none());
}
