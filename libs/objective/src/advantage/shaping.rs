//! What acts on rewards before, and on advantages after they are compared.

use std::collections::BTreeMap;

use crate::config::{AbsoluteConfig, CurriculumConfig, OverlongConfig};

use super::Values;
use super::statistics::{mean, scored};

/// The punishment of a completion that comes near the longest length allowed: 0 up to `max_tokens - cushion`, from
/// there linearly down to `-penalty` at `max_tokens`.
///
/// [DAPO](https://arxiv.org/abs/2503.14476), equation 13.
pub(super) fn overlong_penalty(n_tokens: usize, max_tokens: usize, config: &OverlongConfig) -> f64 {
    let free = max_tokens.saturating_sub(config.cushion);
    let over = n_tokens.saturating_sub(free).min(config.cushion);
    -f64::from(config.penalty) * over as f64 / config.cushion as f64
}

/// Advantages mixed with, or multiplied by, a power of how right the answer is, as a share of the highest possible: the
/// terms that say so, without what is paid for the format.
///
/// A group z-score is the same whether a group got 0.1 and 0.2 or 0.8 and 0.9.
/// [AP-GRPO](https://arxiv.org/abs/2601.07695) multiplies; the mix is ours, see [`AbsoluteConfig`].
pub(super) fn with_absolute(
    advantages: &Values,
    shares: &Values,
    config: &AbsoluteConfig,
) -> Values {
    let exponent = f64::from(config.power());
    let powers: Values =
        shares.iter().map(|share| share.map(|share| share.powf(exponent))).collect();
    let mean = mean(&scored(&powers));
    let one = |(advantage, power): (&Option<f64>, &Option<f64>)| match config {
        AbsoluteConfig::Mix { share, .. } => {
            let eta = f64::from(*share);
            Some((1.0 - eta) * (*advantage)? + eta * ((*power)? - mean))
        }
        AbsoluteConfig::Multiply { .. } => Some((*advantage)? * (*power)?),
    };
    advantages.iter().zip(&powers).map(one).collect()
}

/// The weight of a group by how hard its question is and how diverse its answers are:
/// `weight · d (1 - d) · d_π^power`, with d the mean of the accuracies.
///
/// Puzzle Curriculum GRPO, [arXiv 2512.14944](https://arxiv.org/abs/2512.14944): most for questions that are got
/// right half of the time, nothing for those that are always or never, or always answered in the same way.
pub(super) fn curriculum_weight(
    accuracies: &[f64],
    answers: &[&str],
    config: &CurriculumConfig,
) -> f64 {
    if accuracies.is_empty() {
        return 0.0;
    }
    let difficulty = mean(accuracies);
    let diversity = match config {
        CurriculumConfig::Entropy { choices, .. } => entropy(answers) / (*choices as f64).ln(),
        CurriculumConfig::Distinct { .. } => {
            (counts(answers).len() - 1) as f64 / (answers.len().max(2) - 1) as f64
        }
    };
    let diversity = diversity.clamp(0.0, 1.0).powf(f64::from(config.power()));
    f64::from(config.weight()) * difficulty * (1.0 - difficulty) * diversity
}

/// Entropy of the answers as they were given, in nats.
fn entropy(answers: &[&str]) -> f64 {
    let n = answers.len() as f64;
    -counts(answers).values().map(|&count| count as f64 / n).map(|p| p * p.ln()).sum::<f64>()
}

fn counts<'a>(answers: &[&'a str]) -> BTreeMap<&'a str, usize> {
    let mut counts = BTreeMap::new();
    for answer in answers {
        *counts.entry(*answer).or_default() += 1;
    }
    counts
}
