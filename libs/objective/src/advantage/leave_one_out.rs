//! The baseline of RLOO: the mean of the siblings.

use super::Values;
use super::statistics::{all_equal, scored};

/// `r - mean(r of the others)`: n / (n - 1) times the difference to the group's mean, with no bias from comparing
/// a reward with itself. Nothing for a reward without a sibling.
///
/// [Back to Basics](https://arxiv.org/abs/2402.14740), equation 7.
pub(super) fn differences(rewards: &Values) -> Values {
    let values = scored(rewards);
    let (n, sum) = (values.len(), values.iter().sum::<f64>());
    let equal = all_equal(&values);
    let difference = |reward: f64| match (n, equal) {
        (0 | 1, _) => None,
        (_, true) => Some(0.0),
        _ => Some(reward - (sum - reward) / (n - 1) as f64),
    };
    rewards.iter().map(|reward| reward.and_then(difference)).collect()
}
