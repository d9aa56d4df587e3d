//! Coefficients that follow what they are to bring about.

use crate::config::{AdaptiveEntropyConfig, AdaptiveKlConfig};

/// Largest relative error of the KL that a step answers to.
const MAX_KL_ERROR: f64 = 0.2;

/// The weight β of the KL, adapted so that the KL comes to a target.
///
/// [Fine-Tuning Language Models from Human Preferences](https://arxiv.org/abs/1909.08593), section 2.2.
#[derive(Debug, Clone, PartialEq)]
pub struct KlController {
    /// β for the next step.
    pub coef: f64,
}

impl KlController {
    /// Adapts the coefficient to the KL per token of a step, by the number of its completions.
    pub fn update(&mut self, kl: f64, n_completions: usize, config: &AdaptiveKlConfig) {
        let error = (kl / config.target - 1.0).clamp(-MAX_KL_ERROR, MAX_KL_ERROR);
        let coef = self.coef * (1.0 + error * n_completions as f64 / config.horizon);
        let (min, max) = (config.min.unwrap_or(0.0), config.max.unwrap_or(f64::MAX));
        self.coef = coef.clamp(min, max);
    }
}

/// The weight of the entropy bonus, adapted so that the entropy does not fall below a target.
///
/// [Skywork-OR1](https://arxiv.org/abs/2505.22312), in TRL's form.
#[derive(Debug, Clone, PartialEq)]
pub struct EntropyController {
    /// The coefficient as it stands.
    pub coef: f64,
    /// Whether it acts: the last step's entropy was at or below the target.
    pub acts: bool,
}

impl EntropyController {
    /// What the loss of the next step is to use.
    pub fn applied(&self) -> f64 {
        if self.acts { self.coef } else { 0.0 }
    }

    /// Takes in the mean entropy per token of a step.
    pub fn update(&mut self, entropy: f64, config: &AdaptiveEntropyConfig) {
        self.acts = entropy <= config.target;
        let change = if self.acts { config.delta } else { -config.delta };
        self.coef = (self.coef + change).clamp(config.min, config.max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kl_above_its_target_raises_its_weight_by_little() {
        let config = AdaptiveKlConfig { target: 0.1, horizon: 100.0, min: None, max: None };
        let mut kl = KlController { coef: 0.04 };
        kl.update(0.11, 50, &config);
        assert!((kl.coef - 0.04 * 1.05).abs() < 1e-12);
        kl.update(9.0, 50, &config);
        assert!((kl.coef - 0.04 * 1.05 * 1.1).abs() < 1e-12);
        kl.update(0.0, 100, &config);
        assert!((kl.coef - 0.04 * 1.05 * 1.1 * 0.8).abs() < 1e-12);
    }

    #[test]
    fn the_weight_of_the_kl_stays_within_its_bounds() {
        let config =
            AdaptiveKlConfig { target: 0.1, horizon: 10.0, min: Some(0.03), max: Some(0.06) };
        let mut kl = KlController { coef: 0.04 };
        let mut after = |measured: f64| {
            kl.update(measured, 10, &config);
            kl.coef
        };
        let measured = [9.0, 9.0, 9.0, 0.0, 0.0, 0.0, 0.0].map(&mut after);
        let expected = [0.048, 0.0576, 0.06, 0.048, 0.0384, 0.03072, 0.03];
        for (measured, expected) in measured.into_iter().zip(expected) {
            assert!((measured - expected).abs() < 1e-12, "{measured} instead of {expected}");
        }
    }

    #[test]
    fn the_entropy_bonus_acts_only_below_its_target() {
        let config = AdaptiveEntropyConfig { target: 0.5, delta: 0.01, min: 0.0, max: 0.02 };
        let mut bonus = EntropyController { coef: 0.0, acts: false };
        let applied: Vec<f64> = [0.4, 0.4, 0.4, 0.6, 0.4]
            .map(|entropy| {
                bonus.update(entropy, &config);
                bonus.applied()
            })
            .to_vec();
        assert_eq!(applied, [0.01, 0.02, 0.02, 0.0, 0.02]);
    }
}
