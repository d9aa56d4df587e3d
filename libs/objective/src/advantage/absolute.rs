//! Advantages that keep the size of the reward: an approximation of AP-GRPO.

use crate::config::{AbsoluteConfig, AbsoluteMode};

use super::Values;
use super::statistics::{mean, scored};

/// Advantages mixed with, or multiplied by, a power of the reward as a share of the highest possible one.
///
/// A group z-score is the same whether a group got 0.1 and 0.2 or 0.8 and 0.9. What is published of
/// [AP-GRPO](https://arxiv.org/abs/2601.07695) is less than its equations: the two forms are ours.
pub(super) fn mixed(advantages: &Values, shares: &Values, config: &AbsoluteConfig) -> Values {
    let powers: Values =
        shares.iter().map(|share| share.map(|share| share.powf(f64::from(config.power)))).collect();
    let mean = mean(&scored(&powers));
    let eta = f64::from(config.share.unwrap_or(0.0));
    let one = |(advantage, power): (&Option<f64>, &Option<f64>)| match config.mode {
        AbsoluteMode::Mix => Some((1.0 - eta) * (*advantage)? + eta * ((*power)? - mean)),
        AbsoluteMode::Multiply => Some((*advantage)? * (*power)?),
    };
    advantages.iter().zip(&powers).map(one).collect()
}
