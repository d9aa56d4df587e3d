//! The baseline of GRPO: the mean of the group.

use super::Values;
use super::statistics::{all_equal, mean, scored};

/// `r - mean(r)`; zeros for equal rewards and for a reward without a sibling.
///
/// [DeepSeekMath](https://arxiv.org/abs/2402.03300), section 4.1.2; without a division by the deviation it is
/// [Dr. GRPO](https://arxiv.org/abs/2503.20783).
pub(super) fn differences(rewards: &Values) -> Values {
    let values = scored(rewards);
    if all_equal(&values) {
        return rewards.iter().map(|reward| reward.map(|_| 0.0)).collect();
    }
    let mean = mean(&values);
    rewards.iter().map(|reward| reward.map(|reward| reward - mean)).collect()
}
