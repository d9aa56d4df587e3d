//! Several rollouts in one run.

use serde::{Deserialize, Serialize};

/// How a pool of rollouts deals with one that dies or lags.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PoolConfig {
    /// What happens then.
    pub on_loss: OnLoss,
    /// Seconds that a rollout may take for its share before it counts as lagging; 0 waits forever.
    pub patience_secs: f64,
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

impl Default for PoolConfig {
    fn default() -> Self {
        Self { on_loss: OnLoss::End, patience_secs: 0.0 }
    }
}
