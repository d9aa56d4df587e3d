//! Coefficients of the loss that change from step to step, saved with the policy.

use serde::{Deserialize, Serialize};
use vrft_objective::config::LossConfig;
use vrft_objective::{EntropyController, KlController};

use crate::StepStats;
use crate::group_size::GroupSize;

/// The adaptive coefficients as they stand; those that are fixed stay in the configuration.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Controllers {
    #[serde(skip_serializing_if = "Option::is_none")]
    kl_coef: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entropy_coef: Option<f64>,
    entropy_acts: bool,
    /// How many completions each prompt gets, where that changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) group: Option<GroupSize>,
    /// Steps that were refused for being too far from the policy.
    #[serde(skip_serializing_if = "is_zero")]
    n_refused: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl Controllers {
    /// The configured loss with the coefficients of the next step.
    pub(crate) fn apply(&self, config: &LossConfig) -> LossConfig {
        let mut config = config.clone();
        if config.kl_adaptive.is_some() {
            config.kl_coef = self.kl_coef.unwrap_or(config.kl_coef);
        }
        if config.entropy_adaptive.is_some() {
            config.entropy_coef = self.entropy(&config).applied();
        }
        config
    }

    /// Answers to what a step measured; a step without a measurement changes nothing.
    pub(crate) fn update(
        &mut self,
        config: &LossConfig,
        stats: &mut StepStats,
        n_completions: usize,
    ) {
        if let (Some(adaptive), Some(kl)) = (&config.kl_adaptive, stats.get("policy/kl")) {
            let mut controller = KlController { coef: self.kl_coef.unwrap_or(config.kl_coef) };
            stats.set("policy/kl_coef", controller.coef);
            controller.update(kl, n_completions, adaptive);
            self.kl_coef = Some(controller.coef);
        }
        let measured = stats.get("policy/entropy").filter(|entropy| entropy.is_finite());
        if let (Some(adaptive), Some(entropy)) = (&config.entropy_adaptive, measured) {
            let mut controller = self.entropy(config);
            stats.set("policy/entropy_coef", controller.applied());
            controller.update(entropy, adaptive);
            (self.entropy_coef, self.entropy_acts) = (Some(controller.coef), controller.acts);
        }
    }

    /// Counts a step that was refused; gives how many there were.
    pub(crate) fn refuse(&mut self) -> u64 {
        self.n_refused += 1;
        self.n_refused
    }

    /// Steps that were refused so far.
    pub(crate) fn n_refused(&self) -> u64 {
        self.n_refused
    }

    fn entropy(&self, config: &LossConfig) -> EntropyController {
        let coef = self.entropy_coef.unwrap_or(config.entropy_coef);
        EntropyController { coef, acts: self.entropy_acts }
    }
}

#[cfg(test)]
mod tests {
    use vrft_objective::config::{AdaptiveEntropyConfig, AdaptiveKlConfig};

    use super::*;

    #[test]
    fn adapted_coefficients_replace_those_of_the_configuration() {
        let config = LossConfig {
            kl_adaptive: Some(AdaptiveKlConfig {
                target: 0.1,
                horizon: 10.0,
                min: None,
                max: None,
            }),
            entropy_coef: 0.01,
            entropy_adaptive: Some(AdaptiveEntropyConfig { target: 0.5, ..Default::default() }),
            ..LossConfig::default()
        };
        let mut controllers = Controllers::default();
        let applied = controllers.apply(&config);
        assert_eq!((applied.kl_coef, applied.entropy_coef), (0.04, 0.0));
        let mut stats = StepStats::default();
        stats.set("policy/kl", 9.0);
        stats.set("policy/entropy", 0.3);
        controllers.update(&config, &mut stats, 5);
        let applied = controllers.apply(&config);
        assert!((applied.kl_coef - 0.044).abs() < 1e-12);
        assert!((applied.entropy_coef - 0.015).abs() < 1e-12);
        let fixed = LossConfig::default();
        assert_eq!(controllers.apply(&fixed), fixed);
    }
}
