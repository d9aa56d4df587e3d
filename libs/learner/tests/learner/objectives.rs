//! What the settings of the loss do to a step.

use vrft_learner::{Schedule, StepGradients, StepStats, TrainGroup};
use vrft_objective::config::{
    AdaptiveEntropyConfig, AdaptiveKlConfig, CorrectionMode, KlEstimator, KlPlace, LossConfig,
    Masks, Preset, SamplerCorrectionConfig,
};

use crate::fixture::{Setup, batch, distance, groups, weights};

fn with(loss: LossConfig) -> Setup {
    let mut setup = Setup { loss, ..Setup::default() };
    setup.optimizer.schedule = Schedule::Constant;
    setup
}
fn free() -> LossConfig {
    LossConfig { kl_coef: 0.0, ..LossConfig::default() }
}
/// Weights after one step of a fresh learner, and what the step reported.
fn one_step(setup: &Setup, groups: &[TrainGroup]) -> (Weights, StepStats) {
    let mut learner = setup.learner();
    let stats = learner.grpo_step(groups).unwrap();
    (weights(learner.policy()), stats)
}
type Weights = std::collections::BTreeMap<String, Vec<f32>>;

#[test]
fn how_a_step_is_cut_changes_no_objective() {
    let batch = batch();
    for (name, preset) in Preset::ALL {
        let masks = Masks { top_entropy: 0.5, ..Masks::default() };
        let loss = LossConfig { masks, entropy_coef: 0.01, ..LossConfig::of(preset) };
        let mut setup = with(loss);
        let whole = one_step(&setup, &batch).1;
        setup.learner.max_tokens_per_micro_batch = 1;
        setup.learner.split_groups = true;
        let parts = one_step(&setup, &batch).1;
        for path in ["policy/loss", "policy/grad_norm"] {
            let (a, b) = (whole.metrics[path], parts.metrics[path]);
            assert!((a - b).abs() < 1e-4 * (1.0 + a.abs()), "{name} {path}: {a}, {b}");
        }
    }
}

#[test]
fn two_updates_of_one_step_are_two_steps_from_the_same_completions() {
    let batch = batch();
    let mut setup = with(LossConfig::default());
    let mut learner = setup.learner();
    learner.grpo_step(&batch).unwrap();
    learner.grpo_step(&batch).unwrap();
    setup.learner.iterations = 2;
    let mut twice = setup.learner();
    let stats = twice.grpo_step(&batch).unwrap();
    assert!(distance(&weights(twice.policy()), &weights(learner.policy())) < 1e-7);
    assert_eq!(twice.step(), 1);
    assert!((stats.metrics["policy/ratio"] - 1.0).abs() > 1e-6, "{stats:?}");
}

#[test]
fn truncated_completions_are_masked() {
    let mut masked = groups(&[&[1.0, -0.5, 0.3, -0.8]]);
    masked[0].completions[1].truncated = true;
    let masks = Masks { truncated: true, ..Masks::default() };
    let loss = LossConfig { masks, ..free() };
    let mut without = groups(&[&[1.0, 0.0, 0.3, -0.8]]);
    let expect = one_step(&with(free()), &without).0;
    assert!(distance(&one_step(&with(loss.clone()), &masked).0, &expect) < 1e-7);
    for completion in &mut without[0].completions {
        completion.truncated = true;
    }
    let stats = one_step(&with(loss), &without).1;
    assert_eq!((stats.metrics["policy/loss"], stats.metrics["policy/grad_norm"]), (0.0, 0.0));
}

/// Without the mask they have no gradient either, but they count: the step is then half as long.
#[test]
fn completions_without_an_advantage_can_be_left_out_of_the_count() {
    let batch = groups(&[&[1.0, -0.5, 0.0, 0.0]]);
    let masks = Masks { zero_advantage: true, ..Masks::default() };
    let stats = one_step(&with(LossConfig { masks: masks.clone(), ..free() }), &batch).1;
    let counted = one_step(&with(free()), &batch).1;
    let norm = |stats: &StepStats| stats.metrics["policy/grad_norm"];
    assert!((norm(&stats) - 2.0 * norm(&counted)).abs() < 1e-4 * norm(&stats), "{stats:?}");
    // With a KL they would have a gradient: masked they have none.
    let kl = LossConfig { masks, ..LossConfig::default() };
    let metrics = one_step(&with(kl), &batch).1.metrics;
    assert_eq!(metrics["tokens"], stats.metrics["tokens"]);
}

/// Each has a part of the groups; what they exchange are the counts of an update and its gradient.
#[test]
fn two_learners_that_share_a_step_make_the_step_of_one() {
    let batch = batch();
    for preset in [Preset::Grpo, Preset::Dapo, Preset::DrGrpo] {
        let mut setup = with(LossConfig::of(preset));
        setup.optimizer.eps = 1.0;
        let expected = one_step(&setup, &batch);
        let mut learners = [setup.learner(), setup.learner()];
        let parts = [&batch[..1], &batch[1..]];
        let counts = learners[0].counts(parts[0]) + learners[1].counts(parts[1]);
        let mut sum = vec![0.0; 0];
        for (learner, part) in learners.iter_mut().zip(parts) {
            let (gradients, _) = learner.gradients_of(part, &counts).unwrap();
            let flat = gradients.to_flat(learner.policy().variables()).unwrap();
            sum.resize(flat.len(), 0.0);
            sum.iter_mut().zip(flat).for_each(|(sum, value)| *sum += value);
        }
        for learner in &mut learners {
            let mut gradients = StepGradients::new(learner.policy());
            gradients.set_flat(learner.policy().variables(), &sum).unwrap();
            let stats = learner.apply(&gradients, &counts, StepStats::default()).unwrap();
            let (norm, of_one) =
                (stats.metrics["policy/grad_norm"], expected.1.metrics["policy/grad_norm"]);
            assert!((norm - of_one).abs() < 1e-5 * of_one, "{preset:?}: {norm}, {of_one}");
            assert!(distance(&weights(learner.policy()), &expected.0) < 1e-7, "{preset:?}");
            assert_eq!(learner.step(), 1);
        }
        assert!(weights(learners[0].policy()) == weights(learners[1].policy()));
    }
}

#[test]
fn a_sampler_that_agrees_needs_no_correction() {
    let correction =
        SamplerCorrectionConfig { mode: CorrectionMode::SequenceMask, max: Some(3.0), min: None };
    let loss = LossConfig { sampler_correction: Some(correction), ..free() };
    let mut batch = groups(&[&[1.0, -0.5, 0.3, -0.8]]);
    let (corrected, stats) = one_step(&with(loss.clone()), &batch);
    assert!((stats.metrics["policy/sampler_correction"] - 1.0).abs() < 1e-4, "{stats:?}");
    assert!(distance(&corrected, &one_step(&with(free()), &batch).0) < 1e-5);
    // A completion that the sampler thought far less likely is left out.
    batch[0].completions[1].old_logprobs.iter_mut().for_each(|logprob| *logprob -= 5.0);
    let without = groups(&[&[1.0, 0.0, 0.3, -0.8]]);
    let expect = one_step(&with(free()), &without).0;
    assert!(distance(&one_step(&with(loss), &batch).0, &expect) < 1e-5);
}

#[test]
fn what_the_policy_left_behind_is_not_pushed_further() {
    let masks = Masks { off_policy_threshold: Some(0.5), ..Masks::default() };
    let loss = LossConfig { masks, ..free() };
    let mut batch = groups(&[&[1.0, -0.5, 0.3, -0.8]]);
    batch[0].completions[1].old_logprobs.iter_mut().for_each(|logprob| *logprob += 1.0);
    let stats = one_step(&with(loss), &batch).1;
    assert!((stats.metrics["policy/off_policy_fraction"] - 0.25).abs() < 1e-6, "{stats:?}");
}

#[test]
fn a_kl_in_the_reward_acts() {
    let mut batch = batch();
    // Sampled by a policy that has left the reference: without that there is no KL.
    for group in &mut batch {
        group.completions[0].old_logprobs.iter_mut().for_each(|logprob| *logprob += 0.1);
    }
    let end = |kl_coef| {
        let loss = LossConfig { kl_in: KlPlace::Reward, kl: KlEstimator::K1, kl_coef, ..free() };
        let mut learner = with(loss).learner();
        let steps: Vec<StepStats> = (0..4).map(|_| learner.grpo_step(&batch).unwrap()).collect();
        (weights(learner.policy()), steps[3].metrics["policy/kl"])
    };
    let (light, heavy) = (end(1e-9), end(50.0));
    assert!(light.1.is_finite() && light.1 != 0.0, "a KL without a value");
    let apart = distance(&light.0, &heavy.0);
    assert!(apart > 1e-5, "the weight of the KL made a difference of {apart}");
}

#[test]
fn an_entropy_bonus_alone_raises_the_entropy() {
    let batch = groups(&[&[0.0, 0.0, 0.0, 0.0]]);
    let mut learner = with(LossConfig { entropy_coef: 1.0, ..free() }).learner();
    let entropies: Vec<f64> =
        (0..4).map(|_| learner.grpo_step(&batch).unwrap().metrics["policy/entropy"]).collect();
    assert!(entropies.windows(2).all(|pair| pair[1] > pair[0]), "{entropies:?}");
}

/// Settings under which every coefficient moves.
pub(crate) fn adaptive() -> LossConfig {
    LossConfig {
        kl_adaptive: Some(AdaptiveKlConfig { target: 1e-6, horizon: 20.0, min: None, max: None }),
        entropy_coef: 0.01,
        entropy_adaptive: Some(AdaptiveEntropyConfig { target: 100.0, ..Default::default() }),
        ..LossConfig::default()
    }
}

#[test]
fn coefficients_adapt_from_step_to_step() {
    let batch = batch();
    let mut learner = with(adaptive()).learner();
    let steps: Vec<StepStats> = (0..3).map(|_| learner.grpo_step(&batch).unwrap()).collect();
    let of = |name: &str| steps.iter().map(|stats| stats.metrics[name]).collect::<Vec<f64>>();
    let entropy = of("policy/entropy_coef");
    assert!(entropy[0] == 0.0 && (entropy[2] - 0.02).abs() < 1e-12, "{entropy:?}");
    let kl = of("policy/kl_coef");
    assert!(kl[0] == 0.04 && kl[1] != kl[0] && kl[2] != kl[1], "{kl:?}");
}
