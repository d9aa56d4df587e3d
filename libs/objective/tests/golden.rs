//! The loss and its gradient against torch (golden/loss.py), the closed form, and finite differences.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::collections::BTreeMap;

use candle_core::{Device, Tensor, Var};
use serde::Deserialize;
use vrft_objective::config::{AdvantageConfig, ClipConfig, LossConfig, Surrogate};
use vrft_objective::{LossInputs, group_advantages, policy_loss, sft_loss, token_weights};

/// A batch of completions, tokens packed one completion after the other.
#[derive(Debug, Clone, Deserialize)]
struct Case {
    lengths: Vec<usize>,
    rewards: Vec<f32>,
    kl_coef: f64,
    clip_epsilon: f64,
    logprobs: Vec<f32>,
    old_logprobs: Vec<f32>,
    ref_logprobs: Vec<f32>,
    advantages: Vec<f32>,
    loss: f32,
    kl: f32,
    clip_fraction: f32,
    gradient: Vec<f32>,
}

/// What our side computes for a case.
#[derive(Debug)]
struct Computed {
    loss: f32,
    kl: f32,
    clip_fraction: f32,
    gradient: Vec<f32>,
}

impl Case {
    fn golden() -> BTreeMap<String, Case> {
        serde_json::from_str(include_str!("golden/loss.json")).unwrap()
    }

    fn per_token(&self, advantages: &[f32]) -> Vec<f32> {
        let each = self.lengths.iter().zip(advantages);
        each.flat_map(|(&length, &advantage)| vec![advantage; length]).collect()
    }

    fn compute(&self) -> Computed {
        let clip = ClipConfig { epsilon: self.clip_epsilon, ..ClipConfig::default() };
        let surrogate = Surrogate::Clip(clip);
        let config = LossConfig { kl_coef: self.kl_coef, surrogate, ..LossConfig::default() };
        let logprobs = Var::from_tensor(&tensor(&self.logprobs)).unwrap();
        let inputs = LossInputs {
            logprobs: logprobs.as_tensor(),
            old_logprobs: &tensor(&self.old_logprobs),
            sampler_logprobs: None,
            ref_logprobs: Some(&tensor(&self.ref_logprobs)),
            advantages: &tensor(&self.per_token(&self.advantages)),
            token_weights: &tensor(&token_weights(&self.lengths)),
            lengths: &self.lengths,
            entropy: None,
        };
        let vrft_objective::Loss { loss, kl, clip_fraction, .. } =
            policy_loss(&inputs, &config).unwrap();
        let gradients = loss.backward().unwrap();
        Computed {
            loss: scalar(&loss),
            kl: scalar(&kl),
            clip_fraction: scalar(&clip_fraction.unwrap()),
            gradient: gradients.get(logprobs.as_tensor()).unwrap().to_vec1().unwrap(),
        }
    }
}

fn tensor(values: &[f32]) -> Tensor {
    Tensor::new(values, &Device::Cpu).unwrap()
}
fn scalar(tensor: &Tensor) -> f32 {
    tensor.to_scalar().unwrap()
}
#[track_caller]
fn assert_near(what: &str, got: &[f32], expect: &[f32], tolerance: f32) {
    let near = got.iter().zip(expect).all(|(a, b)| (a - b).abs() <= tolerance);
    assert!(got.len() == expect.len() && near, "{what}: {got:?}, not {expect:?}");
}

#[test]
fn as_torch_has_it() {
    let cases = Case::golden();
    assert_eq!(cases.len(), 5);
    for (name, case) in cases {
        let rewards: Vec<_> = case.rewards.iter().copied().map(Some).collect();
        let advantages = group_advantages(&rewards, &AdvantageConfig::default());
        assert_near(&name, &advantages, &case.advantages, 1e-6);
        let got = case.compute();
        assert_near(&name, &[got.loss, got.kl], &[case.loss, case.kl], 1e-6);
        assert_near(&name, &[got.clip_fraction], &[case.clip_fraction], 1e-6);
        assert_near(&name, &got.gradient, &case.gradient, 1e-6);
    }
}

/// `-(A - β (1 - exp(ref - logprob))) / (|o| · G)` where the policy is the one that sampled.
#[test]
fn as_the_closed_form_has_it() {
    let case = &Case::golden()["on policy"];
    let advantages = case.per_token(&case.advantages);
    let weights = token_weights(&case.lengths);
    let beta = case.kl_coef as f32;
    let expect: Vec<f32> = (0..advantages.len())
        .map(|t| {
            let kl = beta * (1.0 - (case.ref_logprobs[t] - case.logprobs[t]).exp());
            -(advantages[t] - kl) * weights[t]
        })
        .collect();
    assert_near("gradient", &case.compute().gradient, &expect, 1e-6);
}

#[test]
fn as_finite_differences_have_it() {
    const STEP: f32 = 1e-2;
    let case = &Case::golden()["off policy"];
    let gradient = case.compute().gradient;
    for (t, derivative) in gradient.iter().enumerate() {
        let at = |step: f32| {
            let mut moved = case.clone();
            moved.logprobs[t] += step;
            moved.compute().loss
        };
        let difference = (at(STEP) - at(-STEP)) / (2.0 * STEP);
        // The error of a central difference is of the order of the step squared.
        assert_near(&format!("token {t}"), &[difference], &[*derivative], 2e-4);
    }
}

#[test]
fn a_group_without_spread_contributes_its_kl_only() {
    let case = &Case::golden()["equal rewards"];
    let got = case.compute();
    assert_near("loss", &[got.loss], &[case.kl_coef as f32 * got.kl], 1e-7);
    let weights = token_weights(&case.lengths);
    let expect: Vec<f32> = (0..weights.len())
        .map(|t| {
            let kl = 1.0 - (case.ref_logprobs[t] - case.logprobs[t]).exp();
            case.kl_coef as f32 * kl * weights[t]
        })
        .collect();
    assert_near("gradient", &got.gradient, &expect, 1e-7);
}

#[test]
fn no_advantage_and_no_kl_is_no_gradient() {
    let mut case = Case::golden()["off policy"].clone();
    case.kl_coef = 0.0;
    case.advantages = vec![0.0; case.advantages.len()];
    // Ratios that would overflow f32, either way.
    case.old_logprobs[0] = -500.0;
    case.old_logprobs[1] = 500.0;
    let got = case.compute();
    assert_eq!(got.loss, 0.0);
    assert!(got.gradient.iter().all(|g| *g == 0.0), "{:?}", got.gradient);
}

#[test]
fn far_off_policy_stays_finite() {
    let mut case = Case::golden()["off policy"].clone();
    case.old_logprobs[0] = -500.0;
    case.ref_logprobs[1] = 500.0;
    case.ref_logprobs[2] = f32::NEG_INFINITY;
    let got = case.compute();
    assert!(got.loss.is_finite() && got.kl.is_finite(), "{got:?}");
    assert!(got.gradient.iter().all(|g| g.is_finite()), "{:?}", got.gradient);
}

#[test]
fn micro_batches_add_up_to_the_batch() {
    let case = &Case::golden()["off policy"];
    let config = LossConfig::default();
    let weights = token_weights(&case.lengths);
    let advantages = case.per_token(&case.advantages);
    let loss = |range: std::ops::Range<usize>| {
        let inputs = LossInputs {
            logprobs: &tensor(&case.logprobs[range.clone()]),
            old_logprobs: &tensor(&case.old_logprobs[range.clone()]),
            sampler_logprobs: None,
            ref_logprobs: Some(&tensor(&case.ref_logprobs[range.clone()])),
            advantages: &tensor(&advantages[range.clone()]),
            token_weights: &tensor(&weights[range.clone()]),
            lengths: &[range.len()],
            entropy: None,
        };
        let loss = policy_loss(&inputs, &config).unwrap();
        [scalar(&loss.loss), scalar(&loss.kl), scalar(&loss.clip_fraction.unwrap())]
    };
    let whole = loss(0..13);
    let n = [loss(0..8), loss(8..9), loss(9..13)];
    let sum: Vec<f32> = (0..3).map(|k| n.iter().map(|part| part[k]).sum()).collect();
    assert_near("sums", &sum, &whole, 1e-6);
}

#[test]
fn the_likelihood_of_demonstrations() {
    let logprobs = Var::from_tensor(&tensor(&[-1.0, -2.0, -4.0])).unwrap();
    let loss = sft_loss(logprobs.as_tensor(), &tensor(&token_weights(&[1, 2]))).unwrap();
    assert_eq!(scalar(&loss), 0.5 + 0.25 * 6.0);
    let gradients = loss.backward().unwrap();
    let gradient: Vec<f32> = gradients.get(logprobs.as_tensor()).unwrap().to_vec1().unwrap();
    assert_eq!(gradient, [-0.5, -0.25, -0.25]);
}

#[test]
fn bad_inputs_are_named() {
    let (three, two) = (tensor(&[0.0; 3]), tensor(&[0.0; 2]));
    let inputs = LossInputs {
        logprobs: &three,
        old_logprobs: &three,
        sampler_logprobs: None,
        ref_logprobs: None,
        advantages: &three,
        token_weights: &three,
        lengths: &[3],
        entropy: None,
    };
    let message = |inputs: &LossInputs, kl_coef: f64| {
        let config = LossConfig { kl_coef, ..LossConfig::default() };
        policy_loss(inputs, &config).unwrap_err().to_string()
    };
    assert!(message(&inputs, 0.04).starts_with("a KL weight of 0.04 needs ref_logprobs, got none"));
    let short = LossInputs { advantages: &two, ..inputs };
    let expect = "expected advantages of shape [3] as logprobs, got [2]";
    assert!(message(&short, 0.0).starts_with(expect), "{}", message(&short, 0.0));
    assert!(sft_loss(&three, &two).is_err());
    let free = LossConfig { kl_coef: 0.0, ..LossConfig::default() };
    assert_eq!(scalar(&policy_loss(&inputs, &free).unwrap().kl), 0.0);
}
