//! The KL to the reference policy, from the tokens that were sampled.

use candle_core::{Result, Tensor};

use crate::config::{KlEstimator, LossConfig};

use super::ratio::log_ratio;

/// Schulman's estimators of KL(policy ‖ reference) at each token: (N,).
///
/// With `d = logprob - ref_logprob`: k1 is d, k2 is d²/2, k3 is `exp(-d) + d - 1`, which is never negative. With the
/// correction for bias each is multiplied by the importance ratio, gradient and all
/// ([DeepSeek-V3.2](https://arxiv.org/abs/2512.02556), section 3.1).
pub(super) fn per_token(
    logprobs: &Tensor,
    ref_logprobs: &Tensor,
    config: &LossConfig,
    ratio: &Tensor,
) -> Result<Tensor> {
    let against = log_ratio(ref_logprobs, logprobs)?; // (N,): -d
    let kl = match config.kl {
        KlEstimator::K1 => against.neg()?,
        KlEstimator::K2 => (against.sqr()? * 0.5)?,
        KlEstimator::K3 => ((against.exp()? - &against)? - 1.0)?,
    };
    if config.kl_bias_correction { kl * ratio } else { Ok(kl) }
}

/// What a KL in the reward adds to the advantages of a group: `-β (KL_i - mean(KL))`, with `KL_i` the sum over the
/// tokens of completion i, each the estimate from `old - ref`.
///
/// `logprobs` has old and reference logprobs for each completion, `None` for one that could not be scored; that gets
/// 0 and is not in the mean. It is exact for advantages that are rewards minus their group's mean, and the estimator
/// of RLOO ([arXiv 2402.14740](https://arxiv.org/abs/2402.14740)) is k1.
pub fn kl_in_reward(
    logprobs: &[Option<(&[f32], &[f32])>],
    estimator: KlEstimator,
    coef: f64,
) -> Vec<f32> {
    let of_token = |(old, reference): (&f32, &f32)| {
        let d = f64::from(*old) - f64::from(*reference);
        match estimator {
            KlEstimator::K1 => d,
            KlEstimator::K2 => d * d / 2.0,
            KlEstimator::K3 => (-d).exp() + d - 1.0,
        }
    };
    let sum =
        |(old, reference): &(&[f32], &[f32])| old.iter().zip(*reference).map(of_token).sum::<f64>();
    let sums: Vec<Option<f64>> =
        logprobs.iter().map(|completion| completion.as_ref().map(sum)).collect();
    let n = sums.iter().flatten().count().max(1);
    let mean = sums.iter().flatten().sum::<f64>() / n as f64;
    sums.iter().map(|sum| sum.map_or(0.0, |sum| (-coef * (sum - mean)) as f32)).collect()
}
