//! Advantages against hand-computed ones; those that TRL has are in tests/from_trl.rs.

use crate::config::{AbsoluteConfig, CurriculumConfig, OverlongConfig};

use super::*;

#[track_caller]
fn check_with(config: AdvantageConfig, rewards: &[Option<f32>], expect: &[f32]) {
    let got = group_advantages(rewards, &config);
    let near = got.iter().zip(expect).all(|(a, b)| (a - b).abs() < 1e-6);
    assert!(got.len() == expect.len() && near, "{got:?}, not {expect:?}");
}
#[track_caller]
fn check(rewards: &[f32], expect: &[f32]) {
    let rewards: Vec<_> = rewards.iter().copied().map(Some).collect();
    check_with(AdvantageConfig::default(), &rewards, expect);
}
fn unscaled() -> AdvantageConfig {
    AdvantageConfig { scale: AdvantageScale::None, ..AdvantageConfig::default() }
}
fn some(rewards: &[f32]) -> Vec<Option<f32>> {
    rewards.iter().copied().map(Some).collect()
}
fn term(name: &str, value: f32, is_accuracy: bool) -> ScoredTerm<'_> {
    ScoredTerm { name, value, weight: 1.0, is_accuracy, is_form: !is_accuracy }
}
/// A group of completions with a reward between 0 and 1 and an answer each.
fn answered<'a>(completions: &[(f32, &'a str)]) -> ScoredGroup<'a> {
    let completion =
        |&(reward, answer)| Scored { reward: Some(reward), answer, ..Scored::default() };
    ScoredGroup { completions: completions.iter().map(completion).collect(), weight: 1.0 }
}

#[test]
fn half_right() {
    // 0.5 / (sqrt(1/3) + 1e-4)
    check(&[1., 0., 0., 1.], &[0.865_875_4, -0.865_875_4, -0.865_875_4, 0.865_875_4]);
}
#[test]
fn all_equal() {
    check(&[0.1; 7], &[0.0; 7]);
    check_with(
        AdvantageConfig { baseline: Baseline::LeaveOneOut, ..unscaled() },
        &some(&[0.1; 7]),
        &[0.0; 7],
    );
    check_with(
        AdvantageConfig { baseline: Baseline::Batch, ..unscaled() },
        &some(&[0.1; 7]),
        &[0.0; 7],
    );
}
#[test]
fn alone() {
    check(&[3.0], &[0.0]);
    check(&[], &[]);
}
#[test]
fn unscorable_completions_are_left_out() {
    let third = 0.5 / (0.5f32.sqrt() + 1e-4);
    let rewards = [Some(1.), None, Some(0.), Some(f32::NAN), Some(f32::INFINITY)];
    check_with(AdvantageConfig::default(), &rewards, &[third, 0., -third, 0., 0.]);
}
#[test]
fn nothing_could_be_scored() {
    for baseline in [Baseline::Group, Baseline::LeaveOneOut, Baseline::RunnerUp, Baseline::Batch] {
        check_with(AdvantageConfig { baseline, ..unscaled() }, &[None, None], &[0., 0.]);
    }
}
#[test]
fn without_a_scale() {
    check_with(unscaled(), &[Some(3.), Some(1.), Some(2.)], &[1., -1., 0.]);
}
#[test]
fn a_group_sums_to_zero() {
    let rewards: Vec<_> = (0..16).map(|i| Some((i * i % 7) as f32 * 0.3)).collect();
    let sum: f32 = group_advantages(&rewards, &AdvantageConfig::default()).iter().sum();
    assert!(sum.abs() < 1e-5, "{sum}");
}
#[test]
fn leave_one_out_is_the_group_but_for_a_factor() {
    let config = AdvantageConfig { baseline: Baseline::LeaveOneOut, ..unscaled() };
    check_with(config, &some(&[3., 1., 2.]), &[1.5, -1.5, 0.]);
}
#[test]
fn with_pass_at_k_only_the_best_counts() {
    let config = AdvantageConfig { baseline: Baseline::RunnerUp, ..unscaled() };
    check_with(config.clone(), &some(&[0.2, 0.9, 0.5]), &[0., 0.4, 0.]);
    check_with(config.clone(), &some(&[0.9, 0.9, 0.5]), &[0., 0., 0.]);
    check_with(config, &[Some(0.9), None], &[0., 0.]);
    let scaled = AdvantageConfig { baseline: Baseline::RunnerUp, ..AdvantageConfig::default() };
    let std = ((0.2f32 - 0.4).powi(2) + 0.3f32.powi(2) + 0.1f32.powi(2)).sqrt() / 2f32.sqrt();
    check_with(scaled, &some(&[0.2, 0.7, 0.3]), &[0., 0.4 / (std + 1e-4), 0.]);
}
/// One of four is right: (1 - 1/4) / (1/4) and (0 - 1/4) / (1/4), but for the number added below.
#[test]
fn divided_by_the_mean_what_is_seldom_right_counts_more() {
    let config =
        AdvantageConfig { scale: AdvantageScale::Mean, eps: 1e-7, ..AdvantageConfig::default() };
    check_with(
        config.clone(),
        &some(&[1., 0., 0., 0.]),
        &[2.999_998_8, -0.999_999_6, -0.999_999_6, -0.999_999_6],
    );
    check_with(
        config.clone(),
        &some(&[1., 1., 1., 0.]),
        &[0.333_333_3, 0.333_333_3, 0.333_333_3, -0.999_999_9],
    );
    check_with(config.clone(), &some(&[0., 0.]), &[0., 0.]);
    check_with(config, &some(&[-1., 0.]), &[0., 0.]);
}
#[test]
fn the_batch_as_baseline_compares_across_prompts() {
    let groups = [answered(&[(1., ""), (1., "")]), answered(&[(0., ""), (0., "")])];
    let config = AdvantageConfig { baseline: Baseline::Batch, ..unscaled() };
    assert_eq!(advantages(&groups, &config, 9), [[0.5, 0.5], [-0.5, -0.5]]);
    let scaled = AdvantageConfig { scale: AdvantageScale::Batch, ..config };
    let one = 0.5 / ((1.0f64 / 3.0).sqrt() + f64::from(1e-4f32));
    assert_eq!(advantages(&groups, &scaled, 9)[0], [one as f32; 2]);
}
#[test]
fn the_weight_of_a_task_survives_the_deviation() {
    let mut groups = [answered(&[(1., ""), (0., "")]), answered(&[(1., ""), (0., "")])];
    groups[1].weight = 3.0;
    let got = advantages(&groups, &AdvantageConfig::default(), 9);
    assert!((got[1][0] - 3.0 * got[0][0]).abs() < 1e-6, "{got:?}");
}
#[test]
fn normalized_terms_weigh_alike_whatever_their_spread() {
    let completion = |wide: f32, narrow: f32| Scored {
        reward: Some(wide + narrow),
        terms: vec![term("wide", wide, true), term("narrow", narrow, true)],
        ..Scored::default()
    };
    let completions =
        vec![completion(10., 0.), completion(0., 0.1), completion(10., 0.1), completion(0., 0.)];
    let config = AdvantageConfig {
        aggregate: Aggregate::NormalizeThenSum,
        scale: AdvantageScale::Batch,
        ..AdvantageConfig::default()
    };
    let got = advantages(&[ScoredGroup { completions, weight: 1.0 }], &config, 9).remove(0);
    assert!(got[0].abs() < 2e-3 && got[1].abs() < 2e-3 && got[2] > 1.2 && got[3] < -1.2, "{got:?}");
}
#[test]
fn long_completions_are_penalized_softly() {
    let config = OverlongConfig { cushion: 4, penalty: 2.0 };
    let at = |n_tokens| shaping::overlong_penalty(n_tokens, 10, &config);
    assert_eq!([6, 7, 8, 10].map(at), [0.0, -0.5, -1.0, -2.0]);
    let completion = |n_tokens| Scored { reward: Some(1.0), n_tokens, ..Scored::default() };
    let group = ScoredGroup { completions: vec![completion(3), completion(10)], weight: 1.0 };
    let with = AdvantageConfig { overlong: Some(config), ..unscaled() };
    assert_eq!(advantages(std::slice::from_ref(&group), &with, 10), [[1.0, -1.0]]);
    let decoupled = AdvantageConfig {
        aggregate: Aggregate::NormalizeThenSum,
        scale: AdvantageScale::Batch,
        ..with
    };
    assert!(advantages(&[group], &decoupled, 10)[0][0] > 0.5);
}
#[test]
fn a_near_miss_in_a_weak_group_is_not_pushed_like_a_hit() {
    let config = |absolute| AdvantageConfig { absolute: Some(absolute), ..unscaled() };
    let group = [answered(&[(0.2, ""), (0.1, "")])];
    let [a, b] = advantages(&group, &config(AbsoluteConfig::Multiply { power: 1.0 }), 9)[0][..]
    else {
        panic!()
    };
    assert!((a - 0.05 * 0.2).abs() < 1e-7 && (b + 0.05 * 0.1).abs() < 1e-7);
    let mix = config(AbsoluteConfig::Mix { share: 0.5, power: 1.0 });
    let [a, b] = advantages(&group, &mix, 9)[0][..] else { panic!() };
    assert!((a - 0.05).abs() < 1e-7 && (b + 0.05).abs() < 1e-7);
}
#[test]
fn the_curriculum_prefers_what_is_half_right_and_diverse() {
    let entropy = CurriculumConfig::Entropy { choices: 4, weight: 4.0, power: 0.5 };
    let weight = shaping::curriculum_weight;
    assert_eq!(weight(&[1., 0., 1., 0.], &["a", "a", "a", "a"], &entropy), 0.0);
    assert!((weight(&[1., 0., 1., 0.], &["a", "b", "c", "d"], &entropy) - 1.0).abs() < 1e-12);
    assert_eq!(weight(&[1., 1., 1., 1.], &["a", "b", "c", "d"], &entropy), 0.0);
    let distinct = CurriculumConfig::Distinct { weight: 4.0, power: 0.5 };
    assert_eq!(weight(&[0.5, 0.5], &["1,2", "1,2"], &distinct), 0.0);
    let expect = 4.0 * 0.25 * 0.75 * (1.0f64 / 3.0).sqrt();
    assert!((weight(&[1., 0., 0., 0.], &["a", "b", "b", "b"], &distinct) - expect).abs() < 1e-12);
}
#[test]
fn a_group_of_which_all_agree_has_no_weight() {
    let curriculum = CurriculumConfig::Distinct { weight: 4.0, power: 0.5 };
    let config = AdvantageConfig { curriculum: Some(curriculum), ..unscaled() };
    assert_eq!(advantages(&[answered(&[(1., "x"), (0., "x")])], &config, 9), [[0.0, 0.0]]);
    let [a, b] = advantages(&[answered(&[(1., "x"), (0., "y")])], &config, 9)[0][..] else {
        panic!()
    };
    assert!((a - 0.5).abs() < 1e-6 && (b + 0.5).abs() < 1e-6);
}
/// Seven of eight answers are right, and the format is missed by all: a question that is almost learned, whatever the
/// format pays. Weighed by the whole reward it would count .984.
#[test]
fn the_difficulty_of_a_question_is_its_accuracy_and_not_its_format() {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let completion = |(idx, answer): (usize, &&'static str)| {
        let right = if idx == 0 { 0.0 } else { 1.0 };
        let terms = vec![term("accuracy", right, true), term("format", 0.0, false)];
        Scored { reward: Some(right), terms, n_tokens: 1, answer, is_truth: false }
    };
    let completions: Vec<Scored<'_>> = names.iter().enumerate().map(completion).collect();
    let curriculum = CurriculumConfig::Distinct { weight: 4.0, power: 0.5 };
    let config = AdvantageConfig { curriculum: Some(curriculum), ..unscaled() };
    let group = ScoredGroup { completions, weight: 1.0 };
    let weighed = advantages(std::slice::from_ref(&group), &config, 9).remove(0);
    let plain = advantages(&[group], &unscaled(), 9).remove(0);
    for (weighed, plain) in weighed.into_iter().zip(plain) {
        assert!((weighed / plain - 0.4375).abs() < 1e-6, "{weighed} of {plain}");
    }
}
#[test]
fn a_reward_that_measures_no_accuracy_is_its_own_difficulty() {
    let completion = |value: f32| Scored {
        reward: Some(value),
        terms: vec![term("format", value, false)],
        ..Scored::default()
    };
    assert_eq!(accuracy(&completion(0.25)), Some(0.25));
    assert_eq!(accuracy(&Scored { reward: None, ..completion(1.0) }), None);
}
