//! Advantages: how much better a completion did than something it is compared with.

mod baseline;
mod decoupled;
mod shaping;
mod statistics;
mod truth;

use crate::config::{AdvantageConfig, AdvantageScale, Aggregate, Baseline};

use self::statistics::{mean, reciprocal, scored, std, whitened};

/// The completions of one prompt, as their advantages depend on them.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoredGroup<'a> {
    /// One for each completion.
    pub completions: Vec<Scored<'a>>,
    /// Weight λ of the task, which its advantages are multiplied with. It must act here: a factor on all rewards
    /// of a group cancels when they are divided by their deviation.
    pub weight: f32,
}

/// What advantages need to know of one completion.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scored<'a> {
    /// Reward of the completion; `None` when it could not be scored.
    pub reward: Option<f32>,
    /// What the reward is made of.
    pub terms: Vec<ScoredTerm<'a>>,
    /// Number of its tokens; only for [`crate::config::OverlongConfig`].
    pub n_tokens: usize,
    /// Text of its answer; only for [`crate::config::CurriculumConfig`].
    pub answer: &'a str,
    /// Whether it is the true answer itself, which no policy sampled; only with [`crate::config::TruthConfig`].
    pub is_truth: bool,
}

/// A part of a reward.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScoredTerm<'a> {
    /// As the task calls it.
    pub name: &'a str,
    /// Value of the term before weighting, at most 1.
    pub value: f32,
    /// What it is multiplied with in the reward.
    pub weight: f32,
    /// Whether it says how right the answer is, rather than how it is written, how long it is or how sure.
    pub is_accuracy: bool,
    /// Whether it says how the answer is written and argued, rather than how right it is or how sure.
    pub is_form: bool,
}

/// Rewards or what became of them, by completion; `None` where there is nothing to compare.
type Values = Vec<Option<f64>>;

/// The advantages of all groups of a batch, in their order.
///
/// A completion without a finite reward has the advantage 0, and the others are compared without it. So has every
/// completion of a group that did equally well, unless the baseline is that of the batch. `max_tokens` is the
/// longest completion there can be. A true answer ([`Scored::is_truth`]) is compared as one of its group, by a reward that
/// [`crate::config::TruthConfig`] controls; what is known of the group's difficulty and diversity is without it.
pub fn advantages(
    groups: &[ScoredGroup<'_>],
    config: &AdvantageConfig,
    max_tokens: usize,
) -> Vec<Vec<f32>> {
    let penalty = |completion: &Scored<'_>| match &config.overlong {
        Some(overlong) if !completion.is_truth => {
            shaping::overlong_penalty(completion.n_tokens, max_tokens, overlong)
        }
        _ => 0.0,
    };
    let values = match config.aggregate {
        Aggregate::SumThenNormalize => {
            let reward = |c: &Scored<'_>| finite(c.reward).map(|reward| reward + penalty(c));
            let of_group = |group: &ScoredGroup<'_>| {
                let rewards: Values = group.completions.iter().map(reward).collect();
                match &config.truth {
                    Some(truth) => truth::controlled(group, rewards, truth),
                    None => rewards,
                }
            };
            compare(&groups.iter().map(of_group).collect::<Vec<Values>>(), config)
        }
        Aggregate::NormalizeThenSum => decoupled::compare(groups, penalty, config.eps),
    };
    groups.iter().zip(values).map(|(group, values)| finish(group, values, config)).collect()
}

/// Advantages of one group by its rewards alone; a batch of its own where the batch matters.
///
/// With the default configuration `(r - mean) / (std + eps)`, where `std` is the unbiased one (divided by n - 1), as
/// in TRL. [DeepSeekMath](https://arxiv.org/abs/2402.03300), section 4.1.2, "Outcome Supervision RL with GRPO".
pub fn group_advantages(rewards: &[Option<f32>], config: &AdvantageConfig) -> Vec<f32> {
    let completion = |&reward: &Option<f32>| Scored { reward, ..Scored::default() };
    let completions = rewards.iter().map(completion).collect();
    advantages(&[ScoredGroup { completions, weight: 1.0 }], config, usize::MAX).remove(0)
}

/// Rewards against the baseline, scaled.
fn compare(groups: &[Values], config: &AdvantageConfig) -> Vec<Values> {
    let difference: fn(&Values) -> Values = match config.baseline {
        Baseline::Group => baseline::to_group,
        Baseline::LeaveOneOut => baseline::to_siblings,
        Baseline::RunnerUp => baseline::to_runner_up,
        Baseline::Batch => return baseline::to_batch(groups, config.scale, config.eps),
    };
    let differences: Vec<Values> = groups.iter().map(difference).collect();
    match (config.scale, config.baseline) {
        (AdvantageScale::None, _) => differences,
        (AdvantageScale::Group, _) => groups
            .iter()
            .zip(differences)
            .map(|(group, values)| times(values, reciprocal(std(&scored(group)), config.eps)))
            .collect(),
        (AdvantageScale::Mean, _) => {
            let scale = |group: &Values| match mean(&scored(group)) {
                mean if mean > 0.0 => reciprocal(mean, config.eps),
                _ => 0.0,
            };
            groups
                .iter()
                .zip(differences)
                .map(|(group, values)| times(values, scale(group)))
                .collect()
        }
        (AdvantageScale::Batch, Baseline::LeaveOneOut) => whitened(differences, config.eps),
        (AdvantageScale::Batch, _) => {
            let all: Vec<f64> = groups.iter().flat_map(scored).collect();
            let scale = reciprocal(std(&all), config.eps);
            differences.into_iter().map(|values| times(values, scale)).collect()
        }
    }
}

/// What acts on advantages once they are there.
fn finish(group: &ScoredGroup<'_>, mut values: Values, config: &AdvantageConfig) -> Vec<f32> {
    if let Some(absolute) = &config.absolute {
        // How right the answer is: what is paid for the format is no part of the magnitude that is preserved.
        let shares: Values = group.completions.iter().map(accuracy).collect();
        values = shaping::with_absolute(&values, &shares, absolute);
    }
    let mut weight = f64::from(group.weight);
    if let Some(curriculum) = &config.curriculum {
        let sampled = || group.completions.iter().filter(|completion| !completion.is_truth);
        let accuracies: Values = sampled().map(accuracy).collect();
        let answers: Vec<&str> = sampled().map(|completion| completion.answer).collect();
        weight *= shaping::curriculum_weight(&scored(&accuracies), &answers, curriculum);
    }
    values.into_iter().map(|value| (value.unwrap_or(0.0) * weight) as f32).collect()
}

/// A reward as a share of the highest possible one, from 0 to 1; a reward that names no terms is one already.
fn share(completion: &Scored<'_>) -> Option<f64> {
    let highest: f64 = completion.terms.iter().map(|term| f64::from(term.weight)).sum();
    let highest = if highest > 0.0 { highest } else { 1.0 };
    finite(completion.reward).map(|reward| (reward / highest).clamp(0.0, 1.0))
}

/// How right an answer is, from 0 to 1, by the terms that say so: what is paid for the format, for example, is none
/// of it. The whole reward where no term says so.
fn accuracy(completion: &Scored<'_>) -> Option<f64> {
    let terms = completion.terms.iter().filter(|term| term.is_accuracy && term.weight > 0.0);
    let highest: f64 = terms.clone().map(|term| f64::from(term.weight)).sum();
    if highest == 0.0 {
        return share(completion);
    }
    let reached: f64 = terms.map(|term| f64::from(term.weight) * f64::from(term.value)).sum();
    finite(completion.reward).map(|_| (reached / highest).clamp(0.0, 1.0))
}

fn finite(value: Option<f32>) -> Option<f64> {
    value.filter(|value| value.is_finite()).map(f64::from)
}

fn times(values: Values, factor: f64) -> Values {
    values.into_iter().map(|value| value.map(|value| value * factor)).collect()
}

#[cfg(test)]
mod tests;
