//! Normalize, then sum (GDPO): each term is compared on its own.

use std::collections::BTreeMap;

use super::statistics::{all_equal, mean, reciprocal, std, whitened};
use super::{Scored, ScoredGroup, Values, finite};

/// The weighted sum of the group z-scores of the terms, and of that the z-score over the batch.
///
/// As TRL's `normalize_then_sum`: a term that a completion lacks is left out of both, a completion without a reward
/// is left out of all. `penalty` is one more term, of weight 1.
pub(super) fn compare(
    groups: &[ScoredGroup<'_>],
    penalty: impl Fn(&Scored<'_>) -> f64,
    eps: f32,
) -> Vec<Values> {
    let sums = groups.iter().map(|group| sum(group, &penalty, eps)).collect();
    whitened(sums, eps)
}

fn sum(group: &ScoredGroup<'_>, penalty: impl Fn(&Scored<'_>) -> f64, eps: f32) -> Values {
    let is_scored = |completion: &&Scored<'_>| finite(completion.reward).is_some();
    let scored: Vec<&Scored<'_>> = group.completions.iter().filter(is_scored).collect();
    let mut terms: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for term in scored.iter().flat_map(|completion| &completion.terms) {
        if let Some(value) = finite(Some(term.value)) {
            terms.entry(term.name).or_default().push(value);
        }
    }
    let z = |value: f64, values: &[f64]| {
        if all_equal(values) { 0.0 } else { (value - mean(values)) * reciprocal(std(values), eps) }
    };
    let penalties: Vec<f64> = scored.iter().map(|completion| penalty(completion)).collect();
    let of_completion = |completion: &Scored<'_>| {
        let weighted = completion.terms.iter().filter_map(|term| {
            Some(f64::from(term.weight) * z(finite(Some(term.value))?, &terms[term.name]))
        });
        weighted.sum::<f64>() + z(penalty(completion), &penalties)
    };
    let values = group.completions.iter();
    values.map(|c| finite(c.reward).map(|_| of_completion(c))).collect()
}
