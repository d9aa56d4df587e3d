//! A part of the reward: some of its terms, where others are judged by another node.

use eyre::eyre;
use vrft_messages::{RewardBatch, RewardRow};
use vrft_reward::config::RewardsConfig;

/// Which terms this node is asked for.
pub(crate) struct Terms(Vec<String>);

impl Terms {
    /// From a list such as `iou,confidence`; an empty one stands for all terms.
    pub(crate) fn parse(list: &str) -> Self {
        Self(RewardsConfig::terms_in(list))
    }

    /// Whether this is the whole reward.
    pub(crate) fn are_all(&self) -> bool {
        self.0.is_empty()
    }

    /// # Errors
    /// As [`RewardsConfig::check_terms`].
    pub(crate) fn check(&self, rewards: &RewardsConfig, cost_of_calls: f64) -> eyre::Result<()> {
        rewards.check_terms(&self.0, cost_of_calls).map_err(|why| eyre!(why))
    }

    /// Leaves these terms alone and their weighted sum; what could not be scored stays so.
    pub(crate) fn keep(&self, batch: &mut RewardBatch) {
        if !self.are_all() {
            batch.rewards.iter_mut().for_each(|row| self.keep_of(row));
        }
    }

    fn keep_of(&self, row: &mut RewardRow) {
        row.terms.retain(|term| self.0.contains(&term.name));
        let weighted = row.terms.iter().map(|term| f64::from(term.weight) * f64::from(term.value));
        let sum: f64 = weighted.sum();
        row.reward = row.reward.map(|_| sum as f32);
    }
}

#[cfg(test)]
mod tests {
    use vrft_messages::Term;

    use super::*;

    fn batch() -> RewardBatch {
        let term = |name: &str, value, weight| Term { name: name.to_owned(), value, weight };
        let terms =
            vec![term("iou", 0.5, 2.0), term("confidence", 1.0, 0.5), term("format", 1.0, 1.0)];
        let row = RewardRow {
            prompt_id: 0,
            completion_idx: 0,
            reward: Some(2.5),
            first_turn: None,
            terms,
        };
        let unscored = RewardRow { completion_idx: 1, reward: None, ..row.clone() };
        RewardBatch { rewards: vec![row, unscored] }
    }

    #[test]
    fn the_parts_sum_to_the_whole() {
        let (mut some, mut rest) = (batch(), batch());
        Terms::parse("iou, confidence").keep(&mut some);
        Terms::parse("format").keep(&mut rest);
        assert_eq!(some.rewards[0].reward, Some(1.5));
        assert_eq!(some.rewards[1].reward, None);
        some.merge(rest).unwrap();
        assert_eq!(some, batch());
    }
}
