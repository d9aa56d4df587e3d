//! How many completions each prompt gets, where that follows how many groups teach something.

use serde::{Deserialize, Serialize};
use vrft_plan::AdaptiveGroupConfig;

use crate::{Learner, StepStats};

/// The number G as it stands, saved with the policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GroupSize {
    size: usize,
    /// Shares of groups without an advantage in the steps since G was last considered.
    shares: Vec<f64>,
}

impl GroupSize {
    /// Takes in the share of a step's groups whose completions all earned alike. Every so many steps, G doubles where their
    /// mean is above the upper bound and halves where it is below the lower one.
    fn update(&mut self, share: f64, config: &AdaptiveGroupConfig) {
        self.shares.push(share);
        if self.shares.len() < config.every {
            return;
        }
        let mean = self.shares.iter().sum::<f64>() / self.shares.len() as f64;
        self.shares.clear();
        if mean > config.high {
            self.size = (self.size * 2).min(config.max);
        } else if mean < config.low {
            self.size = (self.size / 2).max(config.min);
        }
    }
}

impl Learner {
    /// Has G follow the share of groups that teach nothing, from `start` on.
    #[must_use]
    pub fn with_group_size(mut self, config: &AdaptiveGroupConfig, start: usize) -> Self {
        self.controllers.group = Some(GroupSize { size: start, shares: Vec::new() });
        self.group_config = Some(config.clone());
        self
    }

    /// How many completions each prompt of the next step is to get, where that is not as configured.
    pub fn group_size(&self) -> Option<usize> {
        self.controllers.group.as_ref().map(|group| group.size)
    }

    /// Answers to a step of so many groups.
    pub(crate) fn adapt_group_size(&mut self, stats: &mut StepStats, n_groups: usize) {
        let Some(config) = &self.group_config else { return };
        let Some(group) = &mut self.controllers.group else { return };
        stats.set("groups/size", group.size as f64);
        let without = stats.get("groups/zero_advantage").unwrap_or(0.0);
        group.update(without / n_groups.max(1) as f64, config);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_grows_while_most_teach_nothing_and_shrinks_while_nearly_all_do() {
        let config = AdaptiveGroupConfig { min: 4, max: 16, every: 2, ..Default::default() };
        let mut group = GroupSize { size: 8, shares: Vec::new() };
        let steps = [0.9, 0.4, 1.0, 1.0, 1.0, 1.0, 0.5, 0.2, 0.0, 0.1, 0.0, 0.0, 0.0, 0.0];
        let sizes = steps.map(|share| {
            group.update(share, &config);
            group.size
        });
        assert_eq!(sizes, [8, 16, 16, 16, 16, 16, 16, 16, 16, 8, 8, 4, 4, 4]);
    }
}
