//! The expected reward of a policy from answers that other policies sampled: a doubly robust estimate.
//!
//! Of each logged answer are known its reward r and `w = π(a|x) / μ(a|x)`, the ratio of its probability under the policy
//! in question to that under its sampler, over all of its tokens. With the baseline b, the mean reward of the *other*
//! answers of its group, and sums over all n answers,
//!
//! ```text
//! unbiased  V = 1/n Σ b + 1/n Σ w (r - b)          reported  V̂ = 1/n Σ b + Σ w (r - b) / Σ w
//! ```
//!
//! V is without bias for any baseline that does not depend on the answer itself: `E_μ[w] = 1`, so `E_μ[w b] = b`, and
//! `E_μ[w r]` is what is asked for. It is the doubly robust estimate
//! ([Dudík et al. 2011](https://arxiv.org/abs/1103.4601), equation 3) with a model of the reward that knows the question
//! alone: right by the weights whatever the model is worth, and where the model is right nothing is left for the weights to
//! spoil. V̂ divides by the sum of the weights instead of their number: it has a bias that vanishes with the number of
//! questions (it is consistent), a far smaller variance, and does not change when all weights are off by a factor. Where
//! the policy is the sampler all weights are 1, and both are the mean of the logged rewards.
//!
//! What this takes: answers that were sampled as their logprobs say (all tokens, no top-k or top-p), a sampler that could
//! have said whatever the policy says, and a policy that did not learn from these same answers.

use vrft_plan::RolloutConfig;
use vrft_score::percentile_intervals;

/// Draws of questions, with repetition, that the interval is made of.
const N_RESAMPLES: usize = 2000;

/// An answer that was logged.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LoggedAnswer {
    /// Logarithm of w: logprob of the answer under the policy less that under its sampler, summed over its tokens.
    pub log_weight: f64,
    /// What it earned.
    pub reward: f64,
}

/// All groups of answers to one question. Answers of a group were sampled independently, by one policy.
pub type LoggedQuestion = Vec<Vec<LoggedAnswer>>;

/// What a policy would earn.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct OffPolicyEstimate {
    /// The expected reward: the self-normalized, doubly robust estimate V̂.
    pub value: f64,
    /// 95 % interval of it, by a bootstrap over questions (2000 draws, percentiles).
    pub interval: (f64, f64),
    /// The estimate V without bias, of a larger variance.
    pub unbiased: f64,
    /// Mean of the logged rewards: what the policies that sampled earned.
    pub logged: f64,
    /// 95 % interval of `value - logged`, of the same draws: above 0 where the policy earns more than its samplers did.
    pub gain: (f64, f64),
    /// Effective number of answers as a share of their number, `(Σw)² / (n Σw²)`.
    pub effective_share: f64,
    /// Questions.
    pub n_questions: usize,
    /// Answers.
    pub n_answers: usize,
}

/// Checks that answers are sampled so that their logprobs say how; `min_effective` is the effective share of them that an
/// estimate needs.
///
/// # Errors
/// Settings under which no weight would be right, and what to write.
pub fn check_estimate(rollout: &RolloutConfig, min_effective: f64) -> Result<(), String> {
    if !(min_effective > 0.0 && min_effective < 1.0) {
        return Err(format!("--min-effective {min_effective}: expected a share in (0, 1)"));
    }
    let RolloutConfig { temperature, top_p, top_k, .. } = rollout;
    if *temperature > 0.0 && *top_p >= 1.0 && *top_k == 0 {
        return Ok(());
    }
    Err(format!(
        "an estimate needs answers that were sampled from the whole distribution, rollout.temperature above 0, rollout.top_p = 1 \
         and rollout.top_k = 0, got {temperature}, {top_p} and {top_k}"
    ))
}

/// Why there is no estimate.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum OffPolicyError {
    /// An interval needs two questions at least.
    #[error("{n} questions with scored answers: expected 2 or more")]
    TooFew {
        /// How many there are.
        n: usize,
    },
    /// The logged answers say too little about the policy.
    #[error(
        "the {n} logged answers count as {share:.4} of their number, expected {min} or more: the policy is too far from \
         the policies that sampled them for an estimate; let it answer the questions itself"
    )]
    TooFar {
        /// Effective number of answers as a share of their number.
        share: f64,
        /// The smallest share allowed.
        min: f64,
        /// Answers.
        n: usize,
    },
}

/// Sums of a question, relative to the largest weight of all.
#[derive(Clone, Copy, Default)]
struct Sums {
    n: f64,
    rewards: f64,
    /// `Σ b`.
    baselines: f64,
    weights: f64,
    /// `Σ w (r - b)`.
    corrections: f64,
}

/// Estimates the expected reward; `min_share` is the smallest effective share that allows it.
///
/// # Errors
/// Too few questions; a policy that is too far from the samplers, or to which an answer is impossible.
pub fn estimate(
    questions: &[LoggedQuestion],
    min_share: f64,
) -> Result<OffPolicyEstimate, OffPolicyError> {
    let answers = || questions.iter().flatten().flatten();
    let log_weights: Vec<f64> = answers().map(|answer| answer.log_weight).collect();
    let n_answers = log_weights.len();
    let highest = log_weights.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sums = questions.iter().map(|question| sums(question, highest));
    let sums: Vec<Sums> = sums.filter(|sums| sums.n > 0.0).collect();
    if sums.len() < 2 {
        return Err(OffPolicyError::TooFew { n: sums.len() });
    }
    let share = vrft_objective::effective_share(&log_weights).unwrap_or(0.0);
    if share < min_share {
        return Err(OffPolicyError::TooFar { share, min: min_share, n: n_answers });
    }
    let total = sums.iter().fold(Sums::default(), |all, one| all.plus(one));
    let drawn = |drawn: &[usize]| {
        let total = drawn.iter().fold(Sums::default(), |all, idx| all.plus(&sums[*idx]));
        total.value().is_finite().then_some(total)
    };
    let [interval, gain] = percentile_intervals(sums.len(), N_RESAMPLES, |idxs| {
        let total = drawn(idxs);
        [total.map(|total| total.value()), total.map(|total| total.value() - total.logged())]
    });
    Ok(OffPolicyEstimate {
        value: total.value(),
        interval: interval.unwrap_or((f64::NAN, f64::NAN)),
        unbiased: (total.baselines + total.corrections * highest.exp()) / total.n,
        logged: total.logged(),
        gain: gain.unwrap_or((f64::NAN, f64::NAN)),
        effective_share: share,
        n_questions: sums.len(),
        n_answers,
    })
}

fn sums(question: &LoggedQuestion, highest: f64) -> Sums {
    let mut sums = Sums::default();
    for group in question {
        let (n, total) =
            (group.len() as f64, group.iter().map(|answer| answer.reward).sum::<f64>());
        for LoggedAnswer { log_weight, reward } in group {
            // An answer alone has nothing to be compared with.
            let baseline = if n > 1.0 { (total - reward) / (n - 1.0) } else { 0.0 };
            let weight = (log_weight - highest).exp();
            sums.n += 1.0;
            sums.rewards += reward;
            sums.baselines += baseline;
            sums.weights += weight;
            sums.corrections += weight * (reward - baseline);
        }
    }
    sums
}

impl Sums {
    fn plus(self, other: &Self) -> Self {
        Self {
            n: self.n + other.n,
            rewards: self.rewards + other.rewards,
            baselines: self.baselines + other.baselines,
            weights: self.weights + other.weights,
            corrections: self.corrections + other.corrections,
        }
    }

    fn logged(&self) -> f64 {
        self.rewards / self.n
    }

    fn value(&self) -> f64 {
        self.baselines / self.n + self.corrections / self.weights
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A bandit of four arms on which a question shifts what each earns.
    const BEHAVIOR: [f64; 4] = [0.1, 0.4, 0.3, 0.2];
    const POLICY: [f64; 4] = [0.35, 0.3, 0.2, 0.15];
    const EARNS: [f64; 4] = [1.0, 0.6, 0.3, 0.0];

    /// Numbers of a linear congruential generator (Numerical Recipes), in [0, 1).
    struct Chance(u64);

    impl Chance {
        fn next(&mut self) -> f64 {
            let Self(state) = self;
            *state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (*state >> 11) as f64 / (1u64 << 53) as f64
        }
    }

    #[test]
    fn answers_of_a_part_of_the_distribution_tell_nothing() {
        let check = |top_k, share| {
            check_estimate(&RolloutConfig { top_k, ..RolloutConfig::default() }, share)
        };
        check(0, 0.1).unwrap();
        assert!(check(5, 0.1).unwrap_err().contains("rollout.top_k = 0, got 1, 1 and 5"));
        assert!(check(0, 1.0).unwrap_err().starts_with("--min-effective 1: expected a share"));
    }

    /// The k-th question pays more for everything; its rewards are 1 or 0.
    fn pays(question: usize, arm: usize) -> f64 {
        EARNS[arm] * (0.4 + 0.2 * (question % 4) as f64)
    }

    fn truth() -> f64 {
        let of = |question| (0..4).map(|arm| POLICY[arm] * pays(question, arm)).sum::<f64>();
        (0..4).map(of).sum::<f64>() / 4.0
    }

    fn logged(n_questions: usize, group: usize, seed: u64) -> Vec<LoggedQuestion> {
        let mut chance = Chance(seed);
        // Neighboring seeds begin alike.
        for _ in 0..20 {
            chance.next();
        }
        let mut answer = |question| {
            let mut left = chance.next();
            let arm = BEHAVIOR.iter().position(|p| {
                left -= p;
                left < 0.0
            });
            let arm = arm.unwrap_or(3);
            let is_paid = chance.next() < pays(question, arm);
            LoggedAnswer {
                log_weight: (POLICY[arm] / BEHAVIOR[arm]).ln(),
                reward: f64::from(u8::from(is_paid)),
            }
        };
        (0..n_questions).map(|q| vec![(0..group).map(|_| answer(q)).collect()]).collect()
    }

    #[test]
    fn both_estimates_come_to_the_truth_where_it_is_known() {
        let n = 300;
        let estimates: Vec<_> =
            (0..n).map(|seed| estimate(&logged(40, 4, seed), 0.1).unwrap()).collect();
        let mean = |of: &dyn Fn(&OffPolicyEstimate) -> f64| {
            let values: Vec<f64> = estimates.iter().map(of).collect();
            let mean = values.iter().sum::<f64>() / f64::from(n as u32);
            let square = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
            (mean, (square / f64::from(n as u32)).sqrt())
        };
        let (unbiased, spread) = mean(&|estimate| estimate.unbiased);
        let error = spread / f64::from(n as u32).sqrt();
        assert!((unbiased - truth()).abs() < 3.0 * error, "{unbiased} ± {error}, {}", truth());
        let (value, narrower) = mean(&|estimate| estimate.value);
        assert!((value - truth()).abs() < 3.0 * error + 0.003, "{value}, not {}", truth());
        assert!(narrower <= spread, "{narrower} of {spread}");
        // What was logged is not what the policy earns, which the naive mean would say.
        let (naive, _) = mean(&|estimate| estimate.logged);
        assert!(truth() - naive > 0.08, "{naive}");
        let covers = |e: &&OffPolicyEstimate| e.interval.0 <= truth() && truth() <= e.interval.1;
        let covered = estimates.iter().filter(covers).count();
        // 95 % of 300 less and more three standard deviations, and what 40 questions are short of many.
        assert!((265..=297).contains(&covered), "{covered} of {n}");
    }

    #[test]
    fn a_policy_that_is_its_own_sampler_earns_what_was_logged() {
        let mut questions = logged(10, 4, 1);
        for answer in questions.iter_mut().flatten().flatten() {
            answer.log_weight = 0.0;
        }
        let estimate = estimate(&questions, 0.1).unwrap();
        assert!((estimate.value - estimate.logged).abs() < 1e-12, "{estimate:?}");
        assert!((estimate.unbiased - estimate.logged).abs() < 1e-12, "{estimate:?}");
        assert_eq!((estimate.effective_share, estimate.n_answers), (1.0, 40));
        assert!(estimate.gain.0.abs() < 1e-12 && estimate.gain.1.abs() < 1e-12);
    }

    /// Doubly robust: where the baseline is right, no weight does harm.
    #[test]
    fn what_the_question_decides_alone_needs_no_weights() {
        let answer = |reward, log_weight| LoggedAnswer { log_weight, reward };
        let questions: Vec<LoggedQuestion> = (0..8)
            .map(|q| vec![vec![answer(f64::from(q), 3.0), answer(f64::from(q), -0.5)]])
            .collect();
        let estimate = estimate(&questions, 0.1).unwrap();
        assert_eq!((estimate.value, estimate.unbiased, estimate.logged), (3.5, 3.5, 3.5));
    }

    #[test]
    fn a_factor_of_all_weights_changes_the_reported_estimate_by_nothing() {
        let questions = logged(20, 4, 5);
        let mut shifted = questions.clone();
        for answer in shifted.iter_mut().flatten().flatten() {
            answer.log_weight -= 200.0;
        }
        let (a, b) = (estimate(&questions, 0.1).unwrap(), estimate(&shifted, 0.1).unwrap());
        assert!((a.value - b.value).abs() < 1e-12 && (a.interval.0 - b.interval.0).abs() < 1e-12);
    }

    #[test]
    fn too_little_is_refused_with_what_there_is() {
        assert_eq!(estimate(&logged(1, 4, 0), 0.1), Err(OffPolicyError::TooFew { n: 1 }));
        assert_eq!(estimate(&[vec![], vec![]], 0.1), Err(OffPolicyError::TooFew { n: 0 }));
        let mut far = logged(10, 4, 0);
        far[0][0][0].log_weight = 50.0;
        let error = estimate(&far, 0.1).unwrap_err();
        assert_eq!(error, OffPolicyError::TooFar { share: 0.025, min: 0.1, n: 40 });
        far[1][0][0].log_weight = f64::NAN;
        assert!(matches!(estimate(&far, 0.01), Err(OffPolicyError::TooFar { share: 0.0, .. })));
    }

    #[test]
    fn lone_answers_are_weighed_without_a_baseline() {
        let answer = |reward, log_weight| vec![vec![LoggedAnswer { log_weight, reward }]];
        let questions = [answer(1.0, 0.0), answer(0.0, 0.0), answer(1.0, (3f64).ln())];
        let estimate = estimate(&questions, 0.1).unwrap();
        assert!((estimate.value - 4.0 / 5.0).abs() < 1e-12, "{estimate:?}");
        assert!((estimate.unbiased - 4.0 / 3.0).abs() < 1e-12, "{estimate:?}");
        assert!((estimate.logged - 2.0 / 3.0).abs() < 1e-12, "{estimate:?}");
    }
}
