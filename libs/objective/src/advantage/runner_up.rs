//! The baseline for pass@k: the second best of the group.

use super::Values;
use super::statistics::scored;

/// `r - r of the second best` for the best, 0 for all others; of several best ones the first, which is then not
/// better than the second.
///
/// With pass@k only the maximum of a group counts, so only the best completion changes it, and by so much.
pub(super) fn differences(rewards: &Values) -> Values {
    let mut sorted = scored(rewards);
    sorted.sort_by(f64::total_cmp);
    let (best, second) = match sorted[..] {
        [.., second, best] => (best, second),
        _ => return rewards.iter().map(|reward| reward.map(|_| 0.0)).collect(),
    };
    let first = rewards.iter().position(|reward| *reward == Some(best));
    let difference = |(idx, reward): (usize, &Option<f64>)| {
        reward.map(|_| if Some(idx) == first { best - second } else { 0.0 })
    };
    rewards.iter().enumerate().map(difference).collect()
}
