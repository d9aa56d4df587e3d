//! The section `[pool]`: several rollouts in one run.

use serde::{Deserialize, Serialize};
use vrft_config::{ConfigError, Section, require};

/// How a pool of rollouts deals with one that dies or lags.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PoolConfig {
    /// What happens if a rollout dies or lags.
    pub on_loss: OnLoss,
    /// Seconds that a rollout may take for its share before it counts as lagging; 0 waits forever.
    pub patience_secs: f64,
    /// Parts into which the prompts of a step are cut for each rollout; the rollout that is free first gets the next. Of more
    /// parts a faster rollout does more, but fewer prompts are sampled together.
    pub units_per_rollout: usize,
}

/// What happens when a rollout dies or lags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnLoss {
    /// The run ends with an error that names it; what was saved can be resumed.
    End,
    /// Its prompts go to the other rollouts. One that lags gets no more until it has answered what it owes.
    Survive,
}

impl Section for PoolConfig {
    const NAME: &'static str = "pool";

    fn check(&self) -> Result<(), ConfigError> {
        let patience = self.patience_secs;
        require(
            patience >= 0.0 && patience.is_finite(),
            "pool.patience_secs",
            patience,
            "0 (wait forever) or above",
        )?;
        require(
            (1..=64).contains(&self.units_per_rollout),
            "pool.units_per_rollout",
            self.units_per_rollout,
            "1 to 64",
        )
    }
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self { on_loss: OnLoss::End, patience_secs: 0.0, units_per_rollout: 2 }
    }
}

#[cfg(test)]
mod tests {
    use vrft_config::Document;

    use super::*;

    #[test]
    fn patience_is_not_negative() {
        let document = Document::parse("[pool]\npatience_secs = -1.0", "test").unwrap();
        let error = document.section::<PoolConfig>().unwrap_err().to_string();
        assert!(error.starts_with("pool.patience_secs"), "{error}");
    }

    #[test]
    fn there_is_something_to_share_out() {
        let document = Document::parse("[pool]\nunits_per_rollout = 0", "test").unwrap();
        let error = document.section::<PoolConfig>().unwrap_err().to_string();
        assert!(error.starts_with("pool.units_per_rollout"), "{error}");
    }
}
