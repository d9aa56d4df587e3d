//! Steps whose completions are too far from the policy.

use vrft_learner::TrainGroup;
use vrft_objective::config::{EffectiveSamplesConfig, LossConfig, Preset};

use crate::fixture::{Setup, batch, distance, weights};

fn gated(min: f64, max_refused: u64, preset: Preset) -> Setup {
    let gate = EffectiveSamplesConfig { min, max_refused };
    let loss = LossConfig { effective_samples: Some(gate), kl_coef: 0.0, ..LossConfig::of(preset) };
    Setup { loss, ..Setup::default() }
}

/// The batch as if another policy had sampled it, to which the first completion was unlikely: `exp(-3)` times as likely.
fn of_another_policy() -> Vec<TrainGroup> {
    let mut groups = batch();
    groups[0].completions[0].old_logprobs[0] -= 3.0;
    groups
}

#[test]
fn completions_of_the_policy_itself_all_count() {
    let mut learner = gated(0.99, 0, Preset::Grpo).learner();
    let metrics = learner.grpo_step(&batch()).unwrap().metrics;
    assert!((metrics["policy/effective_samples"] - 1.0).abs() < 1e-6, "{metrics:?}");
    assert_eq!(metrics["policy/refused_steps"], 0.0);
    assert_eq!(learner.step(), 1);
}

#[test]
fn a_gate_that_lets_a_step_pass_changes_nothing_about_it() {
    let mut plain = Setup::without_kl().learner();
    let mut gated = gated(0.01, 0, Preset::Grpo).learner();
    plain.grpo_step(&of_another_policy()).unwrap();
    gated.grpo_step(&of_another_policy()).unwrap();
    assert_eq!(weights(plain.policy()), weights(gated.policy()));
}

/// One weight of e³ and eleven of 1: (e³ + 11)² / (12 (e⁶ + 11)) = 0.19431.
#[test]
fn a_step_too_far_away_is_counted_and_changes_no_weight() {
    for preset in [Preset::Grpo, Preset::Awr] {
        let mut learner = gated(0.2, 1, preset).learner();
        let before = weights(learner.policy());
        let metrics = learner.grpo_step(&of_another_policy()).unwrap().metrics;
        assert!((metrics["policy/effective_samples"] - 0.19431).abs() < 1e-4, "{metrics:?}");
        assert_eq!(metrics["policy/refused_steps"], 1.0);
        assert_eq!((learner.step(), distance(&weights(learner.policy()), &before)), (1, 0.0));
        let error = learner.grpo_step(&of_another_policy()).unwrap_err().to_string();
        for word in ["step 2", "0.19", "min = 0.2", "2 steps were refused", "max_refused"] {
            assert!(error.contains(word), "{error}");
        }
        assert_eq!(learner.step(), 1);
    }
}

#[test]
fn refused_steps_are_counted_over_a_resume() {
    let setup = gated(0.2, 2, Preset::Grpo);
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = vrft_learner::Checkpoints::new(folder.path(), 2).unwrap();
    let mut learner = setup.learner();
    learner.grpo_step(&of_another_policy()).unwrap();
    checkpoints.save(&learner, &vrft_learner::Cursor { next_prompt_id: 3 }).unwrap();
    let mut resumed = setup.learner();
    resumed.restore(&checkpoints.newest().unwrap().unwrap()).unwrap();
    let metrics = resumed.grpo_step(&of_another_policy()).unwrap().metrics;
    assert_eq!(metrics["policy/refused_steps"], 2.0);
    resumed.grpo_step(&of_another_policy()).unwrap_err();
}

/// A completion that is as good as its group is imitated: AWR weighs it by 1.
#[test]
fn awr_learns_from_completions_without_an_advantage() {
    let mut equal = batch();
    for completion in equal.iter_mut().flat_map(|group| &mut group.completions) {
        completion.advantage = 0.0;
    }
    let setup = Setup {
        loss: LossConfig { kl_coef: 0.0, ..LossConfig::of(Preset::Awr) },
        ..Setup::default()
    };
    let mut learner = setup.learner();
    let metrics = learner.grpo_step(&equal).unwrap().metrics;
    assert!(metrics["policy/grad_norm"] > 0.1, "{metrics:?}");
    let after = learner.grpo_step(&equal).unwrap().metrics;
    assert!(after["policy/loss"] < metrics["policy/loss"], "it is likelier now: {after:?}");
}
