//! What a reward is compared with: its group, its siblings, the runner-up, the batch.

use crate::config::AdvantageScale;

use super::Values;
use super::statistics::{all_equal, mean, reciprocal, scored, std};

/// `r - mean(r)`, the baseline of GRPO; zeros for equal rewards and for a reward without a sibling.
///
/// [DeepSeekMath](https://arxiv.org/abs/2402.03300), section 4.1.2; without a division by the deviation it is
/// [Dr. GRPO](https://arxiv.org/abs/2503.20783).
pub(super) fn to_group(rewards: &Values) -> Values {
    let values = scored(rewards);
    if all_equal(&values) {
        return rewards.iter().map(|reward| reward.map(|_| 0.0)).collect();
    }
    let mean = mean(&values);
    rewards.iter().map(|reward| reward.map(|reward| reward - mean)).collect()
}

/// `r - mean(r of the others)`, the baseline of RLOO: n / (n - 1) times the difference to the group's mean, with no
/// bias from comparing a reward with itself. Nothing for a reward without a sibling.
///
/// [Back to Basics](https://arxiv.org/abs/2402.14740), equation 7.
pub(super) fn to_siblings(rewards: &Values) -> Values {
    let values = scored(rewards);
    let n = values.len();
    let sum = values.iter().sum::<f64>();
    let equal = all_equal(&values);
    let difference = |reward: f64| match (n, equal) {
        (0 | 1, _) => None,
        (_, true) => Some(0.0),
        _ => Some(reward - (sum - reward) / (n - 1) as f64),
    };
    rewards.iter().map(|reward| reward.and_then(difference)).collect()
}

/// `r - r of the second best` for the best, 0 for all others; of several best ones the first, which is then not
/// better than the second.
///
/// With pass@k only the maximum of a group counts, so only the best completion changes it, and by so much.
pub(super) fn to_runner_up(rewards: &Values) -> Values {
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

/// `(r - mean) / (std + eps)` over all completions of the batch, whatever their prompts; zeros if all are equal. With
/// no scale the difference is not divided.
///
/// [REINFORCE++](https://arxiv.org/abs/2501.03262). Easy prompts are pushed up as wholes and hard ones down. The
/// paper's KL in the reward of each token is not part of it: the KL stays in the loss.
pub(super) fn to_batch(groups: &[Values], scale: AdvantageScale, eps: f32) -> Vec<Values> {
    let all: Vec<f64> = groups.iter().flat_map(scored).collect();
    let mean = mean(&all);
    let equal = all_equal(&all);
    let scale = match scale {
        AdvantageScale::None => 1.0,
        AdvantageScale::Group | AdvantageScale::Mean | AdvantageScale::Batch => {
            reciprocal(std(&all), eps)
        }
    };
    let difference = |reward: f64| if equal { 0.0 } else { (reward - mean) * scale };
    let of_group =
        |group: &Values| group.iter().map(|reward| reward.map(difference)).collect::<Values>();
    groups.iter().map(of_group).collect()
}
