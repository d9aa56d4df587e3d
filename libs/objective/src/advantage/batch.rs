//! The baseline of REINFORCE++: the mean of the whole batch.

use crate::config::AdvantageScale;

use super::Values;
use super::statistics::{all_equal, mean, reciprocal, scored, std};

/// `(r - mean) / (std + eps)` over all completions of the batch, whatever their prompts; zeros if all are equal.
///
/// [REINFORCE++](https://arxiv.org/abs/2501.03262). Easy prompts are pushed up as wholes and hard ones down. The
/// paper's KL in the reward of each token is not part of it: the KL stays in the loss.
pub(super) fn compare(groups: &[Values], scale: AdvantageScale, eps: f32) -> Vec<Values> {
    let all: Vec<f64> = groups.iter().flat_map(scored).collect();
    let (mean, equal) = (mean(&all), all_equal(&all));
    let scale = match scale {
        AdvantageScale::None => 1.0,
        AdvantageScale::Group | AdvantageScale::Batch => reciprocal(std(&all), eps),
    };
    let difference = |reward: f64| if equal { 0.0 } else { (reward - mean) * scale };
    let of_group =
        |group: &Values| group.iter().map(|reward| reward.map(difference)).collect::<Values>();
    groups.iter().map(of_group).collect()
}
