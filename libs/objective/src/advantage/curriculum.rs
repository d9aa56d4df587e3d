//! The weight of a group by how hard its question is and how diverse its answers are.

use std::collections::BTreeMap;

use crate::config::{CurriculumConfig, Diversity};

use super::statistics::mean;

/// `weight · d (1 - d) · d_π^power` with d the mean of the rewards as shares of the highest possible one.
///
/// Puzzle Curriculum GRPO, [arXiv 2512.14944](https://arxiv.org/abs/2512.14944): most for questions that are got
/// right half of the time, nothing for those that are always or never, or always answered in the same way.
pub(super) fn weight(shares: &[f64], answers: &[&str], config: &CurriculumConfig) -> f64 {
    if shares.is_empty() {
        return 0.0;
    }
    let difficulty = mean(shares);
    let diversity = match (config.diversity, config.choices) {
        (Diversity::Entropy, Some(choices)) => entropy(answers) / (choices as f64).ln(),
        _ => (counts(answers).len() - 1) as f64 / (answers.len().max(2) - 1) as f64,
    };
    let diversity = diversity.clamp(0.0, 1.0).powf(f64::from(config.power));
    f64::from(config.weight) * difficulty * (1.0 - difficulty) * diversity
}

/// Of the answers as they were given, in nats.
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
