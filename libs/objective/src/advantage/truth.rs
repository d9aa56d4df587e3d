//! The true answer as one more completion of its group, with its reward controlled.

use crate::config::TruthConfig;

use super::statistics::{all_equal, mean};
use super::{ScoredGroup, Values};

/// The rewards of a group in which the true answer y is the one that no policy sampled.
///
/// [ViSurf](https://arxiv.org/abs/2510.10606), its controls of the reward: without `form`
/// `r_y ← r_y - Σ weight · value` over the terms that judge form and thinking; with `smooth`
/// `r_y ← mean_i(r_i)` if `max_i(r_i) ≥ r_y`, over the completions i that were sampled. The advantage of y is then 0, and
/// the mean of the group is that of the policy's own.
pub(super) fn controlled(
    group: &ScoredGroup<'_>,
    mut rewards: Values,
    config: &TruthConfig,
) -> Values {
    let sampled: Vec<f64> = group
        .completions
        .iter()
        .zip(&rewards)
        .filter(|(completion, _)| !completion.is_truth)
        .filter_map(|(_, reward)| *reward)
        .collect();
    for (completion, reward) in group.completions.iter().zip(&mut rewards) {
        let Some(value) = reward.as_mut().filter(|_| completion.is_truth) else { continue };
        if !config.form {
            let form = completion.terms.iter().filter(|term| term.is_form);
            let paid = form.map(|term| f64::from(term.weight) * f64::from(term.value));
            *value -= paid.filter(|paid| paid.is_finite()).sum::<f64>();
        }
        let best = sampled.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if config.smooth && best >= *value {
            *value = if all_equal(&sampled) { best } else { mean(&sampled) };
        }
    }
    rewards
}

#[cfg(test)]
mod tests {
    use super::super::{Scored, ScoredTerm, advantages};
    use super::*;
    use crate::config::{AdvantageConfig, AdvantageScale, Baseline};

    /// What the truth earns for what it says and for its form, beside these completions.
    fn group(sampled: &[f32], says: f32, form: f32) -> ScoredGroup<'static> {
        let term = |name, value, is_form: bool| ScoredTerm {
            name,
            value,
            weight: 1.0,
            is_accuracy: !is_form,
            is_form,
        };
        let completion = |&reward: &f32| Scored { reward: Some(reward), ..Scored::default() };
        let truth = Scored {
            reward: Some(says + form),
            terms: vec![term("iou", says, false), term("format", form, true)],
            is_truth: true,
            ..Scored::default()
        };
        let completions = sampled.iter().map(completion).chain([truth]).collect();
        ScoredGroup { completions, weight: 1.0 }
    }

    #[track_caller]
    fn check(truth: TruthConfig, group: &ScoredGroup<'_>, expect: &[f32]) {
        for baseline in [Baseline::Group, Baseline::LeaveOneOut] {
            let config = AdvantageConfig {
                baseline,
                scale: AdvantageScale::None,
                truth: Some(truth.clone()),
                ..AdvantageConfig::default()
            };
            let got = advantages(std::slice::from_ref(group), &config, 64).remove(0);
            let n = got.len() as f32;
            let factor = if baseline == Baseline::Group { 1.0 } else { n / (n - 1.0) };
            let near = got.iter().zip(expect).all(|(a, b)| (a - b * factor).abs() < 1e-6);
            assert!(got.len() == expect.len() && near, "{baseline:?}: {got:?}, not {expect:?}");
        }
    }

    #[test]
    fn a_truth_that_no_completion_reached_is_the_best_of_its_group() {
        check(TruthConfig::default(), &group(&[0.0, 0.5, 0.5], 1.0, 1.0), &[-0.5, 0.0, 0.0, 0.5]);
    }

    #[test]
    fn its_form_is_paid_where_that_is_asked_for() {
        let paid = TruthConfig { form: true, ..TruthConfig::default() };
        check(paid, &group(&[0.0, 0.5, 0.5], 1.0, 1.0), &[-0.75, -0.25, -0.25, 1.25]);
    }

    #[test]
    fn a_truth_that_a_completion_reached_teaches_nothing() {
        check(TruthConfig::default(), &group(&[0.0, 1.0, 0.5], 1.0, 1.0), &[-0.5, 0.5, 0.0, 0.0]);
        check(TruthConfig::default(), &group(&[1.1; 7], 1.0, 0.0), &[0.0; 8]);
        let rough = TruthConfig { smooth: false, ..TruthConfig::default() };
        check(rough, &group(&[0.0, 1.0, 0.0], 1.0, 1.0), &[-0.5, 0.5, -0.5, 0.5]);
    }

    #[test]
    fn a_truth_without_a_reward_is_left_out() {
        let mut group = group(&[0.0, 1.0], 1.0, 0.0);
        group.completions[2].reward = None;
        let config = AdvantageConfig {
            scale: AdvantageScale::None,
            truth: Some(TruthConfig::default()),
            ..AdvantageConfig::default()
        };
        assert_eq!(advantages(&[group], &config, 64)[0], [-0.5, 0.5, 0.0]);
    }
}
