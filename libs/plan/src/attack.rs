//! How pictures are attacked, in training and in evaluation.

use serde::{Deserialize, Serialize};
use vrft_config::{ConfigError, require};

/// Projected gradient descent on the pixels of a picture ([arXiv 1706.06083](https://arxiv.org/abs/1706.06083)): it looks
/// for the picture within ε of the original, pixel by pixel, for which the policy says the true answer least likely.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AttackConfig {
    /// ε: how far a pixel may be changed, in units of 1/255 of the way from black to white.
    pub epsilon: f64,
    /// Gradient steps of the attack.
    pub steps: usize,
    /// How far a step changes each pixel, in the same units.
    pub step_size: f64,
    /// Whether the attack starts at a random picture within ε instead of at the picture itself.
    pub random_start: bool,
}

impl Default for AttackConfig {
    fn default() -> Self {
        Self { epsilon: 4.0, steps: 5, step_size: 1.0, random_start: true }
    }
}

impl AttackConfig {
    /// Checks the settings as those of this table.
    ///
    /// # Errors
    /// A number that no attack can be made with.
    pub fn check_as(&self, table: &str) -> Result<(), ConfigError> {
        let key = |name: &str| format!("{table}.{name}");
        let expected =
            format!("above 0 and at most 255: units of 1/255; leave {table} out for no attack");
        let is_change = |value: f64| value > 0.0 && value <= 255.0;
        require(is_change(self.epsilon), key("epsilon"), self.epsilon, expected.as_str())?;
        require(self.steps > 0, key("steps"), self.steps, "at least 1")?;
        require(
            is_change(self.step_size),
            key("step_size"),
            self.step_size,
            "above 0 and at most 255",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attack_that_changes_nothing_is_refused() {
        let message = |change: fn(&mut AttackConfig)| {
            let mut config = AttackConfig::default();
            change(&mut config);
            config.check_as("evaluation.attack").unwrap_err().to_string()
        };
        assert!(message(|it| it.epsilon = 0.0).starts_with("evaluation.attack.epsilon = 0"));
        assert!(message(|it| it.steps = 0).starts_with("evaluation.attack.steps = 0"));
        assert!(message(|it| it.step_size = f64::NAN).starts_with("evaluation.attack.step_size"));
        AttackConfig::default().check_as("evaluation.attack").unwrap();
    }
}
