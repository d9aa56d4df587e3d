//! Learning from completions that another policy sampled: AWR against torch (golden/offline.py), and both objectives
//! against the closed form on a bandit with a softmax policy.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::collections::BTreeMap;

use candle_core::{Device, Tensor, Var};
use serde::Deserialize;
use vrft_objective::config::{AwrConfig, ClipConfig, LossConfig, Preset, Surrogate};
use vrft_objective::{LossInputs, policy_loss, token_weights};

#[derive(Deserialize)]
struct Case {
    lengths: Vec<usize>,
    advantages: Vec<f32>,
    temperature: f64,
    max_weight: f64,
    kl_coef: f64,
    logprobs: Vec<f32>,
    ref_logprobs: Vec<f32>,
    loss: f32,
    cut: f32,
    gradient: Vec<f32>,
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
fn awr(temperature: f64, max_weight: f64, kl_coef: f64) -> LossConfig {
    let surrogate = Surrogate::Awr(AwrConfig { temperature, max_weight });
    LossConfig { surrogate, kl_coef, ..LossConfig::of(Preset::Awr) }
}

#[test]
fn awr_is_as_torch_has_it() {
    let cases: BTreeMap<String, Case> =
        serde_json::from_str(include_str!("golden/offline.json")).unwrap();
    assert_eq!(cases.len(), 4);
    for (name, case) in cases {
        let logprobs = Var::from_tensor(&tensor(&case.logprobs)).unwrap();
        let each = case.lengths.iter().zip(&case.advantages);
        let advantages: Vec<f32> =
            each.flat_map(|(&length, &advantage)| vec![advantage; length]).collect();
        let config = awr(case.temperature, case.max_weight, case.kl_coef);
        let loss = policy_loss(
            &LossInputs {
                logprobs: logprobs.as_tensor(),
                // Of no consequence: there is no ratio.
                old_logprobs: &tensor(&vec![-9.0; advantages.len()]),
                sampler_logprobs: None,
                ref_logprobs: Some(&tensor(&case.ref_logprobs)),
                advantages: &tensor(&advantages),
                token_weights: &tensor(&token_weights(&case.lengths)),
                lengths: &case.lengths,
                entropy: None,
            },
            &config,
        )
        .unwrap();
        let gradient = loss.loss.backward().unwrap();
        let gradient: Vec<f32> = gradient.get(logprobs.as_tensor()).unwrap().to_vec1().unwrap();
        // Relative to the weights, which go up to 20.
        assert_near(&name, &[scalar(&loss.loss)], &[case.loss], 1e-5);
        assert_near(&name, &[scalar(&loss.clip_fraction.unwrap())], &[case.cut], 1e-6);
        assert_near(&name, &gradient, &case.gradient, 1e-5);
    }
}

/// Four arms: what each earns, and how likely the policy that was logged pulled it.
const ADVANTAGES: [f32; 4] = [1.0, 0.2, -0.4, -0.8];
const BEHAVIOR: [f32; 4] = [0.1, 0.4, 0.3, 0.2];

/// Gradient by the logits of a softmax policy of the loss in expectation over what was logged.
fn gradient_at(logits: &[f32], config: &LossConfig) -> Vec<f32> {
    let logits = Var::from_tensor(&tensor(logits)).unwrap();
    let exp = logits.as_tensor().exp().unwrap();
    let norm = exp.sum_all().unwrap().log().unwrap();
    let logprobs = logits.as_tensor().broadcast_sub(&norm).unwrap();
    let logged: Vec<f32> = BEHAVIOR.iter().map(|p| p.ln()).collect();
    let loss = policy_loss(
        &LossInputs {
            logprobs: &logprobs,
            old_logprobs: &tensor(&logged),
            sampler_logprobs: None,
            ref_logprobs: None,
            advantages: &tensor(&ADVANTAGES),
            token_weights: &tensor(&BEHAVIOR),
            lengths: &[1; 4],
            entropy: None,
        },
        config,
    );
    let gradients = loss.unwrap().loss.backward().unwrap();
    gradients.get(logits.as_tensor()).unwrap().to_vec1().unwrap()
}

/// The optimum of AWR is `π(a) ∝ μ(a) min(exp(A(a) / τ), ω)`, whatever it starts from.
#[test]
fn awr_comes_to_rest_at_the_weighed_behavior() {
    for (temperature, max_weight) in [(1.0, 20.0), (0.25, 20.0), (0.25, 3.0)] {
        let config = awr(temperature, max_weight, 0.0);
        let weight = |a: f32| (f64::from(a) / temperature).exp().min(max_weight) as f32;
        let optimum: Vec<f32> =
            BEHAVIOR.iter().zip(ADVANTAGES).map(|(p, a)| (p * weight(a)).ln()).collect();
        assert_near("at rest", &gradient_at(&optimum, &config), &[0.0; 4], 1e-5);
        // Elsewhere, `∂/∂logit_a = π(a) Σ μ w - μ(a) w(a)`.
        let pulled: Vec<f32> =
            BEHAVIOR.iter().zip(ADVANTAGES).map(|(p, a)| p * weight(a)).collect();
        let all: f32 = pulled.iter().sum();
        let expect: Vec<f32> = pulled.iter().map(|pulled| 0.25 * all - pulled).collect();
        assert_near("from equal arms", &gradient_at(&[0.0; 4], &config), &expect, 1e-5);
    }
}

/// Within the clip range the gradient from what was logged is the policy gradient of the policy that learns,
/// `-π(a) (A(a) - Σ π A)`, although it pulled none of the arms.
#[test]
fn the_ratio_makes_logged_answers_count_as_the_policys_own() {
    let clip = ClipConfig { epsilon: 0.9, epsilon_high: Some(9.0), delta: None };
    let surrogate = Surrogate::Clip(clip);
    let config = LossConfig { kl_coef: 0.0, surrogate, ..LossConfig::default() };
    let policy = [0.3f32, 0.3, 0.2, 0.2];
    let logits: Vec<f32> = policy.iter().map(|p| p.ln()).collect();
    let value: f32 = policy.iter().zip(ADVANTAGES).map(|(p, a)| p * a).sum();
    let expect: Vec<f32> = policy.iter().zip(ADVANTAGES).map(|(p, a)| -p * (a - value)).collect();
    assert_near("gradient", &gradient_at(&logits, &config), &expect, 1e-6);
}

/// A good arm that is pulled often enough already, and a bad one that is hardly pulled any more, teach nothing.
#[test]
fn the_clip_ends_the_way_that_logged_answers_lead() {
    let config = LossConfig { kl_coef: 0.0, ..LossConfig::default() };
    let far = [0.5f32, 0.4, 0.06, 0.04];
    let logits: Vec<f32> = far.iter().map(|p| p.ln()).collect();
    // Of the four only the second is within ±0.2 of its ratio, 1; the others are clipped the way they went.
    let expect: Vec<f32> =
        (0..4).map(|arm| 0.4 * 0.2 * (far[arm] - if arm == 1 { 1.0 } else { 0.0 })).collect();
    assert_near("gradient", &gradient_at(&logits, &config), &expect, 1e-6);
}
