//! Self-distillation against TRL's SDFT trainer (golden/from_teacher.py).
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::collections::BTreeMap;

use candle_core::{Device, Tensor, Var};
use serde::Deserialize;
use vrft_objective::distillation_loss;

#[derive(Deserialize)]
struct Case {
    logprobs: Vec<f32>,
    old_logprobs: Vec<f32>,
    teacher_logprobs: Vec<f32>,
    weights: Vec<f32>,
    loss: f32,
    gradient: Vec<f32>,
    kl: f32,
}

fn tensor(values: &[f32]) -> Tensor {
    Tensor::new(values, &Device::Cpu).unwrap()
}

#[track_caller]
fn near(name: &str, got: &[f32], expect: &[f32]) {
    let is_near = got.iter().zip(expect).all(|(a, b)| (a - b).abs() < 2e-6 * (1.0 + b.abs()));
    assert!(got.len() == expect.len() && is_near, "{name}: {got:?}, not {expect:?}");
}

#[test]
fn loss_and_gradient_equal_trl_s() {
    let text = include_str!("golden/from_teacher.json");
    let cases: BTreeMap<String, Case> = serde_json::from_str(text).unwrap();
    assert_eq!(cases.len(), 3);
    for (name, case) in cases {
        let logprobs = Var::from_tensor(&tensor(&case.logprobs)).unwrap();
        let distilled = distillation_loss(
            logprobs.as_tensor(),
            &tensor(&case.old_logprobs),
            &tensor(&case.teacher_logprobs),
            &tensor(&case.weights),
        )
        .unwrap();
        near(&name, &[distilled.loss.to_scalar().unwrap()], &[case.loss]);
        near(&name, &[distilled.kl.to_scalar().unwrap()], &[case.kl]);
        let gradient = distilled.loss.backward().unwrap();
        let gradient = gradient.get(logprobs.as_tensor()).unwrap().to_vec1::<f32>().unwrap();
        near(&name, &gradient, &case.gradient);
    }
}
