//! Objectives that show the true answer, against torch (golden/with_truth.py).
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::collections::BTreeMap;

use candle_core::{Device, Tensor, Var};
use serde::Deserialize;
use vrft_objective::config::{AdvantageConfig, LossConfig, TokenWeight, TruthConfig};
use vrft_objective::{
    CompletionFacts, LossInputs, Scored, ScoredGroup, ScoredTerm, UpdateCounts, advantages,
    demonstration_weights, imitation_loss, loss_weights, policy_loss,
};

#[derive(Deserialize)]
struct Golden {
    visurf: BTreeMap<String, ViSurf>,
    chord: BTreeMap<String, Chord>,
}

/// Tokens packed one completion after the other, those of the true answer last.
#[derive(Deserialize)]
struct Case {
    lengths: Vec<usize>,
    logprobs: Vec<f32>,
    old_logprobs: Vec<f32>,
    ref_logprobs: Vec<f32>,
    kl_coef: f64,
    advantages: Vec<f32>,
    loss: f32,
    gradient: Vec<f32>,
}

#[derive(Deserialize)]
struct ViSurf {
    #[serde(flatten)]
    case: Case,
    rewards: Vec<f32>,
    says: f32,
    form: f32,
    pays_form: bool,
    smooth: bool,
}

#[derive(Deserialize)]
struct Chord {
    #[serde(flatten)]
    case: Case,
    mu: f64,
    phi: bool,
    imitation: f32,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("golden/with_truth.json")).unwrap()
}

fn tensor(values: &[f32]) -> Tensor {
    Tensor::new(values, &Device::Cpu).unwrap()
}

#[track_caller]
fn near(name: &str, got: &[f32], expect: &[f32]) {
    let is_near = got.iter().zip(expect).all(|(a, b)| (a - b).abs() < 2e-6 * (1.0 + b.abs()));
    assert!(got.len() == expect.len() && is_near, "{name}: {got:?}, not {expect:?}");
}

impl Case {
    /// The objective over the completions, of which the last may be a demonstration, and the facts they were weighed by.
    fn objective(&self, logprobs: &Tensor, shows: bool) -> (Tensor, Vec<CompletionFacts>) {
        let config = LossConfig { kl_coef: self.kl_coef, ..LossConfig::default() };
        let last = self.lengths.len() - 1;
        let facts: Vec<CompletionFacts> = (0..=last)
            .map(|idx| CompletionFacts {
                n_tokens: self.lengths[idx],
                is_truncated: false,
                advantage: self.advantages[idx],
                is_demonstration: shows && idx == last,
            })
            .collect();
        let counts = UpdateCounts::of(&facts, &config.masks);
        let of_tokens = self.lengths.iter().zip(&self.advantages);
        let per_token: Vec<f32> =
            of_tokens.flat_map(|(&n, &advantage)| vec![advantage; n]).collect();
        let inputs = LossInputs {
            logprobs,
            old_logprobs: &tensor(&self.old_logprobs),
            sampler_logprobs: None,
            ref_logprobs: Some(&tensor(&self.ref_logprobs)),
            advantages: &tensor(&per_token),
            token_weights: &tensor(&loss_weights(&config, &facts, &counts, 64)),
            lengths: &self.lengths,
            entropy: None,
        };
        (policy_loss(&inputs, &config).unwrap().loss, facts)
    }

    #[track_caller]
    fn check(&self, name: &str, loss: &Tensor, logprobs: &Var) {
        near(name, &[loss.to_scalar().unwrap()], &[self.loss]);
        let gradient = loss.backward().unwrap().get(logprobs.as_tensor()).unwrap().to_vec1();
        near(name, &gradient.unwrap(), &self.gradient);
    }
}

#[test]
fn visurf_equals_torch() {
    for (name, ViSurf { case, rewards, says, form, pays_form, smooth }) in golden().visurf {
        let term = |name, value, is_form: bool| ScoredTerm {
            name,
            value,
            weight: 1.0,
            is_accuracy: !is_form,
            is_form,
        };
        let sampled =
            rewards.iter().map(|&reward| Scored { reward: Some(reward), ..Scored::default() });
        let truth = Scored {
            reward: Some(says + form),
            terms: vec![term("iou", says, false), term("format", form, true)],
            is_truth: true,
            ..Scored::default()
        };
        let group = ScoredGroup { completions: sampled.chain([truth]).collect(), weight: 1.0 };
        let config = AdvantageConfig {
            truth: Some(TruthConfig { form: pays_form, smooth }),
            ..AdvantageConfig::default()
        };
        near(&name, &advantages(&[group], &config, 64)[0], &case.advantages);
        let logprobs = Var::from_tensor(&tensor(&case.logprobs)).unwrap();
        let (loss, _) = case.objective(logprobs.as_tensor(), false);
        case.check(&name, &loss, &logprobs);
    }
}

#[test]
fn chord_equals_torch() {
    for (name, Chord { case, mu, phi, imitation }) in golden().chord {
        let logprobs = Var::from_tensor(&tensor(&case.logprobs)).unwrap();
        let (objective, facts) = case.objective(logprobs.as_tensor(), true);
        let counts = UpdateCounts::of(&facts, &LossConfig::default().masks);
        let weights = tensor(&demonstration_weights(&facts, &counts));
        let token = if phi { TokenWeight::Phi } else { TokenWeight::One };
        let imitated = imitation_loss(logprobs.as_tensor(), &weights, token).unwrap();
        near(&name, &[imitated.to_scalar().unwrap()], &[imitation]);
        let loss = ((objective * (1.0 - mu)).unwrap() + (imitated * mu).unwrap()).unwrap();
        case.check(&name, &loss, &logprobs);
    }
}
