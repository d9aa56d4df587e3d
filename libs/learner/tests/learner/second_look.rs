//! Steps that look at their completions once more: with the true answer in the question, or without detail in the picture.

use vrft_learner::TrainGroup;
use vrft_objective::config::{DistillationConfig, LossConfig, Teacher, VisualConfig};
use vrft_processor::EncodedPrompt;

use crate::fixture::{Setup, batch, distance, prompts, weights};

/// The same groups, whose teacher reads these prompts.
fn hinted(mut groups: Vec<TrainGroup>, hints: [EncodedPrompt; 3]) -> Vec<TrainGroup> {
    groups.iter_mut().zip(hints).for_each(|(group, hint)| group.hinted = Some(hint));
    groups
}

/// Some other tokens before the question stand for a true answer.
fn told() -> [EncodedPrompt; 3] {
    prompts().map(|prompt| prompt.followed_by(&[33, 44, 55]))
}

fn distilling(share: f64, teacher: Teacher) -> Setup {
    let config = DistillationConfig { share, teacher, ..DistillationConfig::default() };
    let loss = LossConfig { self_distillation: Some(config), ..LossConfig::default() };
    Setup { loss, ..Setup::default() }
}

fn looking(share: f64, completions: bool) -> Setup {
    let visual = Some(VisualConfig { share, completions });
    Setup { loss: LossConfig { visual, ..LossConfig::default() }, ..Setup::default() }
}

#[test]
fn a_teacher_that_was_told_nothing_teaches_nothing() {
    let plain = Setup::default().learner().grpo_step(&batch()).unwrap();
    for teacher in [Teacher::Live, Teacher::Base] {
        let shown = hinted(batch(), prompts());
        let stats = distilling(0.25, teacher).learner().grpo_step(&shown).unwrap();
        assert!(stats.metrics["policy/teacher_kl"].abs() < 1e-5, "{stats:?}");
        for path in ["policy/grad_norm", "policy/loss"] {
            let (got, expect) = (stats.metrics[path], 0.75 * plain.metrics[path]);
            assert!(
                (got - expect).abs() < 1e-4 * expect.abs().max(1e-2),
                "{path}: {got}, {expect}"
            );
        }
    }
}

#[test]
fn the_policy_comes_nearer_to_what_it_says_when_it_is_told_the_answer() {
    let mut setup = distilling(1.0, Teacher::Base);
    setup.loss.kl_coef = 0.0;
    let shown = hinted(batch(), told());
    let mut learner = setup.learner();
    let mut step = || learner.grpo_step(&shown).unwrap().metrics["policy/teacher_kl"];
    let apart = [step(), step()];
    assert!(apart[0] > 1e-3 && apart[1] < 0.8 * apart[0], "{apart:?}");
}

#[test]
fn before_the_first_update_both_teachers_are_the_same() {
    let shown = hinted(batch(), told());
    let step = |teacher| {
        let mut learner = distilling(0.5, teacher).learner();
        let stats = learner.grpo_step(&shown).unwrap();
        (stats.metrics["policy/teacher_kl"], weights(learner.policy()))
    };
    let (live, base) = (step(Teacher::Live), step(Teacher::Base));
    assert!(live.0.abs() > 1e-3 && (live.0 - base.0).abs() < 1e-6);
    assert!(distance(&live.1, &base.1) < 1e-6);
}

#[test]
fn a_second_look_in_parts_is_one_in_a_piece() {
    let shown = hinted(batch(), told());
    let cases = [(distilling(0.5, Teacher::Live), &shown), (looking(0.3, true), &batch())];
    for (mut setup, groups) in cases {
        let whole = setup.learner().grpo_step(groups).unwrap();
        setup.learner.max_tokens_per_micro_batch = 1;
        setup.learner.split_groups = true;
        let parts = setup.learner().grpo_step(groups).unwrap();
        for (path, value) in &whole.metrics {
            if path.starts_with("policy/") && !path.starts_with("policy/grad_") {
                let other = parts.metrics[path];
                assert!((value - other).abs() < 1e-4 * (1.0 + value.abs()), "{path}");
            }
        }
        let (a, b) = (whole.metrics["policy/grad_norm"], parts.metrics["policy/grad_norm"]);
        assert!((a - b).abs() < 1e-3 * a, "{a}, {b}");
    }
}

#[test]
fn tokens_count_by_what_the_picture_adds_and_without_one_all_alike() {
    let mut plain = Setup::default();
    let mut looks = looking(0.3, true);
    let [with_picture, _, without] = batch().try_into().unwrap();
    for (group, is_changed) in [(with_picture, true), (without, false)] {
        // A group of its own, so that other groups' tokens are not in the sums.
        let groups = [group];
        plain.loss.kl_coef = 0.0;
        looks.loss.kl_coef = 0.0;
        looks.loss.visual = Some(VisualConfig { share: 0.3, completions: true });
        let of_plain = plain.learner().grpo_step(&groups).unwrap();
        let of_looks = looks.learner().grpo_step(&groups).unwrap();
        let added = of_looks.metrics["policy/visual_advantage"];
        assert_eq!(added.abs() > 1e-4, is_changed, "{added}");
        let (a, b) = (of_plain.metrics["policy/grad_norm"], of_looks.metrics["policy/grad_norm"]);
        assert!(!is_changed || (a - b).abs() > 1e-3 * a, "{a}, {b}");
    }
}

#[test]
fn hints_and_their_settings_belong_together() {
    let error = Setup::default().learner().grpo_step(&hinted(batch(), told())).unwrap_err();
    assert!(error.to_string().contains("number of prompts with a hint should be 0"), "{error}");
    let error = distilling(0.5, Teacher::Live).learner().grpo_step(&batch()).unwrap_err();
    assert!(error.to_string().contains("number of prompts with a hint should be 3"), "{error}");
}
