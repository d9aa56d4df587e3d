//! One step: what it does to the weights, what it reports, what it refuses.

use vrft_learner::{Demonstration, Learner, LearnerError, OptimizerConfig};
use vrft_plan::LearnerConfig;

use crate::fixture::{Setup, batch, distance, groups, load, prompts, weights};

#[test]
fn a_step_reports_itself() {
    let mut learner = Setup::default().learner();
    let stats = learner.grpo_step(&batch()).unwrap();
    let paths: Vec<&str> = stats.metrics.keys().map(String::as_str).collect();
    assert_eq!(
        paths,
        [
            "completions/length/mean",
            "completions/zero_advantage",
            "groups/zero_advantage",
            "policy/clip_fraction",
            "policy/entropy",
            "policy/grad_norm",
            "policy/kl",
            "policy/learning_rate",
            "policy/loss",
            "policy/ratio",
            "time/learner/forward_backward_secs",
            "time/learner/optimizer_secs",
            "time/learner/reference_secs",
            "tokens",
        ]
    );
    let prompt_tokens: usize = prompts().iter().map(|prompt| prompt.token_ids.len()).sum();
    assert_eq!(stats.metrics["completions/length/mean"], 7.0);
    assert_eq!(stats.metrics["tokens"], (prompt_tokens + 12 * 7) as f64);
    assert_eq!(stats.metrics["policy/learning_rate"], 1e-4);
    assert_eq!(learner.step(), 1);
}

#[test]
fn the_first_step_is_on_policy() {
    let metrics = Setup::default().learner().grpo_step(&batch()).unwrap().metrics;
    // Ratio 1 everywhere, so the loss is minus the mean advantage: (0 + 0 + 0) / 3 groups.
    assert!((metrics["policy/ratio"] - 1.0).abs() < 1e-5, "{metrics:?}");
    assert!(metrics["policy/loss"].abs() < 1e-5, "{metrics:?}");
    assert!(metrics["policy/kl"].abs() < 1e-6, "{metrics:?}");
    assert_eq!(metrics["policy/clip_fraction"], 0.0);
    assert!(metrics["policy/grad_norm"] > 1e-3, "{metrics:?}");
    assert!((0.0..320f64.ln()).contains(&metrics["policy/entropy"]), "{metrics:?}");
}

#[test]
fn a_second_step_on_the_same_batch_sees_a_lower_loss_and_a_kl() {
    let batch = batch();
    let mut learner = Setup::default().learner();
    let first = learner.grpo_step(&batch).unwrap().metrics;
    let second = learner.grpo_step(&batch).unwrap().metrics;
    assert!(second["policy/loss"] < first["policy/loss"] - 1e-3, "{second:?}");
    assert!(second["policy/kl"] > 1e-6, "{second:?}");
}

/// An epsilon of 1 makes the update proportional to the gradient. At the usual 1e-8 Adam blows up to a full step
/// whatever gradient there is, rounding included.
pub(crate) fn proportional(max_tokens_per_micro_batch: usize) -> Setup {
    let setup = Setup::default();
    Setup {
        optimizer: OptimizerConfig {
            learning_rate: 0.1,
            eps: 1.0,
            max_grad_norm: 0.0,
            ..setup.optimizer
        },
        learner: LearnerConfig { max_tokens_per_micro_batch, split_groups: true, ..setup.learner },
        ..setup
    }
}

#[test]
fn micro_batches_make_the_same_step() {
    let batch = batch();
    let before = weights(&load(false));
    let mut whole = proportional(4096).learner();
    let expect = whole.grpo_step(&batch).unwrap().metrics;
    let moved = distance(&before, &weights(whole.policy()));
    // From all groups at once to one completion at a time.
    for max_tokens in [150, 60, 1] {
        let mut cut = proportional(max_tokens).learner();
        let got = cut.grpo_step(&batch).unwrap().metrics;
        for path in
            ["policy/loss", "policy/kl", "policy/entropy", "policy/grad_norm", "policy/ratio"]
        {
            let near = (got[path] - expect[path]).abs() < 1e-5 * expect[path].abs().max(0.1);
            assert!(near, "{path} at {max_tokens}: {} and {}", got[path], expect[path]);
        }
        let apart = distance(&weights(whole.policy()), &weights(cut.policy()));
        assert!(apart < 1e-4 * moved, "{max_tokens}: {apart} of {moved}");
    }
    assert!(moved > 1e-3, "{moved}");
}

#[test]
fn the_same_step_twice_is_the_same_to_the_bit() {
    let batch = batch();
    let run = || {
        let mut learner = Setup::default().learner();
        learner.grpo_step(&batch).unwrap();
        weights(learner.policy())
    };
    assert_eq!(run(), run());
}

#[test]
fn groups_without_advantage_are_skipped_without_a_kl() {
    let all = groups(&[&[1.0, -1.0], &[0.0, 0.0], &[0.0, 0.0]]);
    let mut setup = proportional(4096);
    setup.loss.kl_coef = 0.0;
    let mut learner = setup.learner();
    let metrics = learner.grpo_step(&all).unwrap().metrics;
    assert_eq!(metrics["groups/zero_advantage"], 2.0);
    assert!(!metrics.contains_key("policy/kl"));
    let completion_tokens = 3 + 5;
    assert_eq!(metrics["tokens"], (prompts()[0].token_ids.len() + completion_tokens) as f64);
}

#[test]
fn skipping_does_not_change_the_step() {
    let all = groups(&[&[1.0, -1.0], &[0.0, 0.0], &[0.0, 0.0]]);
    let mut setup = proportional(4096);
    setup.loss.kl_coef = 0.0;
    let mut skipping = setup.learner();
    let skipped = skipping.grpo_step(&all).unwrap().metrics;
    // A KL weight too small to matter keeps the groups in.
    setup.loss.kl_coef = 1e-30;
    let mut keeping = setup.learner();
    let kept = keeping.grpo_step(&all).unwrap().metrics;
    // A product of few rows is summed in another order than one of many.
    let (skipped, kept) = (skipped["policy/grad_norm"], kept["policy/grad_norm"]);
    assert!((skipped - kept).abs() < 1e-5 * kept, "{skipped}, {kept}");
    let far = distance(&weights(skipping.policy()), &weights(keeping.policy()));
    assert!(far <= 2.0 * f32::EPSILON, "{far}");
}

#[test]
fn a_step_without_any_advantage_changes_nothing_but_counts() {
    let unrewarded = groups(&[&[0.0, 0.0], &[0.0, 0.0]]);
    let mut learner = Setup::without_kl().learner();
    let metrics = learner.grpo_step(&unrewarded).unwrap().metrics;
    assert_eq!((metrics["policy/loss"], metrics["policy/grad_norm"]), (0.0, 0.0));
    assert_eq!(metrics["groups/zero_advantage"], 2.0);
    assert!(metrics.values().all(|value| value.is_finite()), "{metrics:?}");
    assert_eq!(weights(learner.policy()), weights(&load(false)));
    assert_eq!(learner.step(), 1);
}

#[test]
fn a_gradient_that_is_not_finite_leaves_the_weights() {
    let mut batch = batch();
    let mut learner = Setup::default().learner();
    // Large enough to overflow in the product with the ratio's gradient, small enough to be a valid f32.
    batch[0].completions[0].advantage = f32::MAX;
    batch[0].completions[1].advantage = -f32::MAX;
    let error = learner.grpo_step(&batch).unwrap_err();
    assert!(matches!(error, LearnerError::NotFinite { step: 1, .. }), "{error}");
    assert!(error.to_string().ends_with("the weights were left as they were"), "{error}");
    assert_eq!(weights(learner.policy()), weights(&load(false)));
    assert_eq!(learner.step(), 0);
}

#[test]
fn demonstrations_are_learned() {
    let demonstrations: Vec<Demonstration> = prompts()
        .into_iter()
        .map(|prompt| Demonstration { prompt, token_ids: vec![35, 37, 27, 2] })
        .collect();
    let mut learner = Setup::without_kl().learner();
    let losses: Vec<f64> =
        (0..4).map(|_| learner.sft_step(&demonstrations).unwrap().metrics["policy/loss"]).collect();
    assert!(losses.windows(2).all(|pair| pair[1] < pair[0]), "{losses:?}");
}

#[test]
fn a_policy_that_is_not_trainable_is_refused() {
    let setup = Setup::without_kl();
    let made = Learner::new(load(false), None, &setup.settings());
    assert_eq!(
        made.unwrap_err().to_string(),
        "policy should be loaded as trainable, got no variables"
    );
}

#[test]
fn a_kl_without_a_reference_is_refused() {
    let setup = Setup::default();
    let made = Learner::new(load(true), None, &setup.settings());
    let error = made.unwrap_err().to_string();
    assert_eq!(error, "reference policy should be given, as loss.kl_coef = 0.04, got none");
}
