//! The rewards of a run in which several tasks are learned.

use std::collections::BTreeMap;

use crate::Reward;
use crate::config::RewardsConfig;

/// One reward for each task that has its own, and one for all others.
#[derive(Debug, Clone)]
pub struct Rewards {
    shared: Reward,
    own: BTreeMap<String, Reward>,
}

impl Rewards {
    /// The rewards as the configuration of a run declares them.
    pub fn new(config: &RewardsConfig) -> Self {
        let own = config.own.iter().map(|(task, reward)| (task.clone(), Reward::new(reward)));
        Self { shared: Reward::new(&config.shared), own: own.collect() }
    }

    /// How completions of a task are scored.
    pub fn of(&self, task: &str) -> &Reward {
        self.own.get(task).unwrap_or(&self.shared)
    }

    /// The rewards of all tasks.
    pub fn iter(&self) -> impl Iterator<Item = &Reward> {
        std::iter::once(&self.shared).chain(self.own.values())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_scored_by_its_own_reward_or_by_that_of_the_run() {
        let text = "[[data.sources]]\ntask = \"boxes\"\ntrain = \"a.jsonl\"\n\
                    [[data.sources]]\ntask = \"names\"\ntrain = \"b.jsonl\"\n\
                    [data.sources.reward.answer]\ntype = \"label\"\n\
                    [data.sources.reward.terms.right]\nmetric = \"accuracy\"";
        let document = vrft_config::Document::parse(text, "test").unwrap();
        let rewards = Rewards::new(&RewardsConfig::read(&document).unwrap());
        let total = |task: &str, completion: &str, solution: &str| {
            let reward = rewards.of(task);
            reward.score(completion, &reward.parse_answer(solution).unwrap()).total
        };
        assert_eq!(total("names", "<answer>rose</answer>", "rose"), Some(1.0));
        let boxes = "[{'Position': [1, 2, 3, 4], 'Confidence': 1}]";
        let completion = format!("<think></think><answer>{boxes}</answer>");
        assert_eq!(total("boxes", &completion, boxes), Some(3.0));
        assert_eq!(rewards.iter().count(), 2);
    }
}
