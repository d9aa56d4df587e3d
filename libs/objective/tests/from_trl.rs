//! Every objective and advantage that TRL 1.16 has, against TRL's own code (golden/from_trl.py): values and gradients.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::collections::BTreeMap;

use candle_core::{Device, Tensor, Var};
use serde::Deserialize;
use vrft_objective::config::{AdvantageConfig, ClipConfig, LossConfig, Preset, Ratio, Surrogate};
use vrft_objective::{
    CompletionFacts, Entropy, LossInputs, Scored, ScoredGroup, ScoredTerm, UpdateCounts,
    advantages, entropy_threshold, loss_weights, policy_loss,
};

/// Relative to the largest number of its kind in a case.
const TOLERANCE: f32 = 1e-5;

#[derive(Deserialize)]
struct Golden {
    losses: BTreeMap<String, LossCase>,
    advantages: BTreeMap<String, AdvantageCase>,
}

#[derive(Deserialize)]
struct LossCase {
    loss: LossConfig,
    lengths: Vec<usize>,
    truncated: Vec<usize>,
    advantages: Vec<f32>,
    logprobs: Vec<f32>,
    entropies: Vec<f32>,
    old_logprobs: Vec<f32>,
    sampler_logprobs: Vec<f32>,
    ref_logprobs: Vec<f32>,
    value: f32,
    logprob_gradient: Vec<f32>,
    entropy_gradient: Vec<f32>,
    clipped: Option<f32>,
}

#[derive(Deserialize)]
struct AdvantageCase {
    config: AdvantageConfig,
    terms: Vec<Vec<Option<f32>>>,
    weights: Vec<f32>,
    group_size: usize,
    advantages: Vec<f32>,
}

struct Computed {
    value: f32,
    logprob_gradient: Vec<f32>,
    entropy_gradient: Vec<f32>,
    clip_fraction: Option<f32>,
}

impl LossCase {
    fn per_token(&self, of_completion: &[f32]) -> Vec<f32> {
        let each = self.lengths.iter().zip(of_completion);
        each.flat_map(|(&length, &value)| vec![value; length]).collect()
    }

    fn weights(&self) -> Vec<f32> {
        let completions: Vec<CompletionFacts> = (0..self.lengths.len())
            .map(|i| CompletionFacts {
                n_tokens: self.lengths[i],
                is_truncated: self.truncated.contains(&i),
                advantage: self.advantages[i],
                is_demonstration: false,
            })
            .collect();
        let counts = UpdateCounts::of(&completions, &self.loss.masks);
        loss_weights(&self.loss, &completions, &counts, usize::MAX)
    }

    fn clip(&mut self) -> &mut ClipConfig {
        match &mut self.loss.surrogate {
            Surrogate::Clip(clip) => clip,
            other => panic!("{other:?} does not clip"),
        }
    }

    fn compute(&self) -> Computed {
        let weights = self.weights();
        let counting: Vec<f32> = self
            .entropies
            .iter()
            .zip(&weights)
            .filter(|(_, w)| **w > 0.0)
            .map(|(entropy, _)| *entropy)
            .collect();
        let (threshold, n_tokens) = entropy_threshold(&counting, self.loss.masks.top_entropy);
        let logprobs = Var::from_tensor(&tensor(&self.logprobs)).unwrap();
        let entropies = Var::from_tensor(&tensor(&self.entropies)).unwrap();
        let sampler = tensor(&self.sampler_logprobs);
        let inputs = LossInputs {
            logprobs: logprobs.as_tensor(),
            old_logprobs: &tensor(&self.old_logprobs),
            sampler_logprobs: self.loss.sampler_correction.is_some().then_some(&sampler),
            ref_logprobs: Some(&tensor(&self.ref_logprobs)),
            advantages: &tensor(&self.per_token(&self.advantages)),
            token_weights: &tensor(&weights),
            lengths: &self.lengths,
            entropy: Some(Entropy {
                per_token: entropies.as_tensor(),
                threshold: (self.loss.masks.top_entropy < 1.0).then_some(threshold),
                n_tokens,
            }),
        };
        let loss = policy_loss(&inputs, &self.loss).unwrap();
        let gradients = loss.loss.backward().unwrap();
        let gradient = |var: &Var| match gradients.get(var.as_tensor()) {
            Some(gradient) => gradient.to_vec1().unwrap(),
            None => vec![0.0; weights.len()],
        };
        Computed {
            value: scalar(&loss.loss),
            logprob_gradient: gradient(&logprobs),
            entropy_gradient: gradient(&entropies),
            clip_fraction: loss.clip_fraction.as_ref().map(scalar),
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
fn assert_near(what: &str, got: &[f32], expect: &[f32]) {
    let scale = expect.iter().map(|value| value.abs()).fold(1e-3, f32::max);
    let near = got.iter().zip(expect).all(|(a, b)| (a - b).abs() <= TOLERANCE * scale);
    assert!(got.len() == expect.len() && near, "{what}: {got:?}, not {expect:?}");
}
fn golden() -> Golden {
    serde_json::from_str(include_str!("golden/from_trl.json")).unwrap()
}

#[test]
fn losses_and_gradients_are_those_of_trl() {
    let cases = golden().losses;
    assert_eq!(cases.len(), 40);
    for (name, case) in &cases {
        let got = case.compute();
        assert_near(&format!("{name}, loss"), &[got.value], &[case.value]);
        assert_near(&format!("{name}, gradient"), &got.logprob_gradient, &case.logprob_gradient);
        assert_near(&format!("{name}, entropy"), &got.entropy_gradient, &case.entropy_gradient);
    }
}

#[test]
fn as_many_tokens_are_clipped_as_in_trl() {
    for name in ["dapo", "bnpo", "bnpo, truncated"] {
        let case = &golden().losses[name];
        assert_near(name, &[case.compute().clip_fraction.unwrap()], &[case.clipped.unwrap()]);
    }
}

#[test]
fn advantages_are_those_of_trl() {
    let cases = golden().advantages;
    assert_eq!(cases.len(), 12);
    for (name, case) in cases {
        let groups: Vec<ScoredGroup<'_>> = case
            .terms
            .chunks(case.group_size)
            .map(|rows| ScoredGroup {
                completions: rows.iter().map(|row| scored(row, &case.weights)).collect(),
                weight: 1.0,
            })
            .collect();
        let got = advantages(&groups, &case.config, usize::MAX).concat();
        assert_near(&name, &got, &case.advantages);
    }
}

fn scored(row: &[Option<f32>], weights: &[f32]) -> Scored<'static> {
    let present = ["first", "second"].iter().zip(row).zip(weights);
    let term = |((name, value), weight): ((&&'static str, &Option<f32>), &f32)| {
        Some(ScoredTerm {
            name,
            value: (*value)?,
            weight: *weight,
            is_accuracy: true,
            is_form: false,
        })
    };
    let terms: Vec<ScoredTerm<'_>> = present.filter_map(term).collect();
    let sum = terms.iter().map(|term| term.value * term.weight).sum();
    Scored { reward: (!terms.is_empty()).then_some(sum), terms, ..Scored::default() }
}

/// Kinds whose loss is the integral of its gradient; the others weigh logprobs with what is held constant.
#[test]
fn gradients_are_those_of_finite_differences() {
    const STEP: f32 = 1e-2;
    for preset in [Preset::Grpo, Preset::DrGrpo, Preset::Gspo, Preset::Luspo, Preset::Sapo] {
        let mut case = golden().losses.remove("grpo").unwrap();
        let (ratio, surrogate, aggregation) = preset.parts();
        case.loss = LossConfig { ratio, surrogate, aggregation, ..case.loss };
        if preset != Preset::Sapo {
            case.clip().epsilon = 0.9;
        }
        // Near enough that no ratio is at the edge of its clip range.
        for (old, logprob) in case.old_logprobs.iter_mut().zip(&case.logprobs) {
            *old = logprob + 0.3 * (*old - logprob);
        }
        let gradient = case.compute().logprob_gradient;
        for (t, derivative) in gradient.iter().enumerate() {
            let logprob = case.logprobs[t];
            let mut at = |step: f32| {
                case.logprobs[t] = logprob + step;
                case.compute().value
            };
            let difference = (at(STEP) - at(-STEP)) / (2.0 * STEP);
            case.logprobs[t] = logprob;
            assert!(
                (difference - derivative).abs() < 5e-4,
                "{preset:?}, {t}: {difference}, {derivative}"
            );
        }
    }
}

#[test]
fn gspo_token_is_worth_gspo_and_has_the_gradient_of_each_token() {
    let mut case = golden().losses.remove("gspo").unwrap();
    case.clip().epsilon = 0.9;
    let of_sequence = case.compute();
    case.loss.ratio = Ratio::SequenceToken;
    let got = case.compute();
    assert_near("value", &[got.value], &[of_sequence.value]);
    // -s_i · A_i / (|o_i| · B), the scalar reference.
    let mut expect = Vec::new();
    let mut first = 0;
    for (&length, advantage) in case.lengths.iter().zip(&case.advantages) {
        let range = first..first + length;
        let mean = range.clone().map(|t| case.logprobs[t] - case.old_logprobs[t]).sum::<f32>()
            / length as f32;
        let gradient = -mean.exp() * advantage / (length * case.lengths.len()) as f32;
        expect.extend(vec![gradient; length]);
        first = range.end;
    }
    assert_near("gradient", &got.logprob_gradient, &expect);
}

/// `max(min(r A, clip(r) A), c A)` where A < 0, the form of its paper.
#[test]
fn the_two_sided_clip_is_the_dual_clip() {
    let case = golden().losses.remove("grpo, two-sided").unwrap();
    let c = 1.4;
    let epsilon = 0.2;
    let advantages = case.per_token(&case.advantages);
    let weights = case.weights();
    let loss: f32 = (0..advantages.len())
        .map(|t| {
            let ratio = (case.logprobs[t] - case.old_logprobs[t]).exp();
            let a = advantages[t];
            let clipped = (ratio * a).min(ratio.clamp(1.0 - epsilon, 1.0 + epsilon) * a);
            -weights[t] * if a < 0.0 { clipped.max(c * a) } else { clipped }
        })
        .sum();
    assert_near("loss", &[case.value], &[loss]);
}

#[test]
fn the_estimators_of_the_kl_are_schulmans() {
    let mut case = golden().losses.remove("grpo").unwrap();
    case.loss.kl_coef = 1.0;
    case.advantages = vec![0.0; 6];
    let weights = case.weights();
    type Scalar = fn(f32) -> (f32, f32);
    let cases: [(&str, Scalar); 3] = [
        ("k1", |d| (d, 1.0)),
        ("k2", |d| (d * d / 2.0, d)),
        ("k3", |d| ((-d).exp() + d - 1.0, 1.0 - (-d).exp())),
    ];
    for (name, scalar) in cases {
        case.loss.kl = serde_json::from_str(&format!("{name:?}")).unwrap();
        let each = (0..weights.len()).map(|t| scalar(case.logprobs[t] - case.ref_logprobs[t]));
        let (values, gradient): (Vec<f32>, Vec<f32>) =
            each.zip(&weights).map(|((value, slope), w)| (value * w, slope * w)).unzip();
        let got = case.compute();
        assert_near(name, &[got.value], &[values.iter().sum()]);
        assert_near(name, &got.logprob_gradient, &gradient);
    }
}

#[test]
fn a_kl_in_the_reward_is_one_taken_from_the_reward() {
    let (old, reference) = ([-1.0f32, -2.0, -0.5], [-1.5f32, -1.0, -0.5]);
    let completions =
        [Some((&old[..2], &reference[..2])), Some((&old[2..], &reference[2..])), None];
    let k1: f32 = 0.5 - 1.0;
    let got =
        vrft_objective::kl_in_reward(&completions, vrft_objective::config::KlEstimator::K1, 0.1);
    assert_near("shift", &got, &[-0.1 * (k1 - k1 / 2.0), -0.1 * (0.0 - k1 / 2.0), 0.0]);
    // The same as advantages of rewards with the penalty in them.
    let config = AdvantageConfig {
        scale: vrft_objective::config::AdvantageScale::None,
        ..AdvantageConfig::default()
    };
    let with = vrft_objective::group_advantages(&[Some(1.0 - 0.1 * k1), Some(0.2), None], &config);
    let without = vrft_objective::group_advantages(&[Some(1.0), Some(0.2), None], &config);
    let sums: Vec<f32> = without.iter().zip(&got).map(|(a, b)| a + b).collect();
    assert_near("advantages", &sums, &with);
}

#[test]
fn how_a_step_is_cut_changes_nothing() {
    let golden = golden();
    for name in ["gspo, corrected KL", "luspo, KL", "vespo", "cispo", "dapo, entropy bonus on top"]
    {
        let case = &golden.losses[name];
        let parts: f32 = (0..case.lengths.len()).map(|i| part(case, i)).sum();
        assert_near(name, &[parts], &[case.value]);
    }
}

/// The loss of one completion, with the weights and the threshold of all.
fn part(case: &LossCase, completion: usize) -> f32 {
    let first: usize = case.lengths[..completion].iter().sum();
    let range = first..first + case.lengths[completion];
    let weights = case.weights();
    let counting: Vec<f32> = case
        .entropies
        .iter()
        .zip(&weights)
        .filter(|(_, w)| **w > 0.0)
        .map(|(entropy, _)| *entropy)
        .collect();
    let (threshold, n_tokens) = entropy_threshold(&counting, case.loss.masks.top_entropy);
    let cut = |values: &[f32]| tensor(&values[range.clone()]);
    let inputs = LossInputs {
        logprobs: &cut(&case.logprobs),
        old_logprobs: &cut(&case.old_logprobs),
        sampler_logprobs: None,
        ref_logprobs: Some(&cut(&case.ref_logprobs)),
        advantages: &cut(&case.per_token(&case.advantages)),
        token_weights: &cut(&weights),
        lengths: &[range.len()],
        entropy: Some(Entropy {
            per_token: &cut(&case.entropies),
            threshold: (case.loss.masks.top_entropy < 1.0).then_some(threshold),
            n_tokens,
        }),
    };
    scalar(&policy_loss(&inputs, &case.loss).unwrap().loss)
}

#[test]
fn far_off_policy_every_loss_stays_finite() {
    let mut case = golden().losses.remove("token_mask {'max': 1.2}").unwrap();
    case.old_logprobs[0] = -500.0;
    case.sampler_logprobs[1] = 500.0;
    case.ref_logprobs[2] = f32::NEG_INFINITY;
    for (name, preset) in Preset::ALL {
        let (ratio, surrogate, aggregation) = preset.parts();
        case.loss = LossConfig { ratio, surrogate, aggregation, ..case.loss };
        let got = case.compute();
        assert!(got.value.is_finite(), "{name}: {}", got.value);
        let gradient = got.logprob_gradient;
        assert!(gradient.iter().all(|g| g.is_finite()), "{name}: {gradient:?}");
    }
}
