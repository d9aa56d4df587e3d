//! What pairs of items are worth.
//!
//! With n predictions, m true items and `u_i` the likeness of pair i; a prediction that is not valid counts in n and
//! is in no pair. Dividing by max(n, m) makes each missed item cost as much as each invented one; by n alone, one
//! safe box out of ten earns everything.

use crate::config::{Norm, TermConfig};

use super::shape::reward;
use crate::average_precision::{RankedImage, at_threshold, over_thresholds};
use crate::case::Case;
use crate::matching::same_item_label;
use crate::{Answer, BBox, Detection, Item, Place, same_label};

/// Likeness that makes a hit where nothing else is declared.
const HIT: f64 = 0.5;

/// Σ shape(u_i) / norm, not counting pairs whose labels differ where `label` asks for it.
pub(super) fn overlap(case: &Case, term: &TermConfig) -> f64 {
    let progress = case.attempt.progress;
    over_pairs(case, term, |_, _, likeness| reward(&term.shape, likeness, progress))
}

/// The share of the true items that are hit: likeness at or above the threshold.
pub(super) fn recall(case: &Case, term: &TermConfig) -> f64 {
    case.settled().unwrap_or_else(|| ratio(hits(case, term), case.true_items().len()))
}

/// The share of pairs with the right label.
pub(super) fn labels(case: &Case, term: &TermConfig) -> f64 {
    over_pairs(case, term, |predicted, truth, _| {
        f64::from(u8::from(same_item_label(predicted, truth)))
    })
}

/// 1 - |n - m| / max(n, m).
pub(super) fn count(case: &Case, term: &TermConfig) -> f64 {
    let (n, m) = (case.n_predicted(), case.true_items().len());
    let near = || 1.0 - n.abs_diff(m) as f64 / n.max(m) as f64;
    case.settled().unwrap_or_else(|| reward(&term.shape, near(), case.attempt.progress))
}

/// min(1, m / n): 1 unless there are more predictions than true items (VLM-R1's factor against dumping boxes).
pub(super) fn brevity(case: &Case) -> f64 {
    case.settled()
        .unwrap_or_else(|| (case.true_items().len() as f64 / case.n_predicted() as f64).min(1.0))
}

/// 1 - (share of true items missed + share of predictions that hit nothing) / 2.
pub(super) fn completeness(case: &Case, term: &TermConfig) -> f64 {
    case.settled().unwrap_or_else(|| {
        let found = hits(case, term);
        (ratio(found, case.true_items().len()) + ratio(found, case.n_predicted())) / 2.0
    })
}

/// Average precision of this answer alone, all confidences equal, averaged over the true labels.
///
/// With `label = false` predictions of labels that do not occur in the truth are left out, as VLM-R1 does.
pub(super) fn average_precision(case: &Case, term: &TermConfig) -> f64 {
    if let Some(settled) = case.settled() {
        return settled;
    }
    let mut labels: Vec<Option<&str>> = Vec::new();
    for item in case.true_items() {
        let label = item.label.as_deref();
        if !labels.iter().any(|known| same(*known, label)) {
            labels.push(label);
        }
    }
    let of_label = |label: Option<&str>| -> f64 {
        let truth = case.true_items().iter().filter(|item| same(item.label.as_deref(), label));
        let said = case.predicted().iter().filter(|item| same(item.label.as_deref(), label));
        let image = RankedImage::new(
            said.filter_map(bbox).map(|bbox| Detection { bbox, confidence: 1.0 }).collect(),
            truth.filter_map(bbox).collect(),
        );
        match term.threshold {
            Some(threshold) => at_threshold(&[image], threshold),
            None => over_thresholds(&[image]),
        }
        .unwrap_or(0.0)
    };
    let sum: f64 = labels.iter().map(|label| of_label(*label)).sum();
    let unknown = match term.label {
        Some(false) => 0,
        _ => {
            let known =
                |item: &&Item| labels.iter().any(|label| same(*label, item.label.as_deref()));
            let n_unknown = case.predicted().iter().filter(|item| !known(item)).count();
            n_unknown + case.n_predicted() - case.predicted().len()
        }
    };
    // A label that is not there has no precision at all, however often it is claimed.
    sum / (labels.len() + usize::from(unknown > 0)) as f64
}

/// The likeness of the item that is meant, where the one that was pointed at is paired with the true one.
pub(super) fn target(case: &Case, term: &TermConfig) -> f64 {
    let (Some(Answer::Items(said)), Answer::Items(truth)) = (&case.reading, &case.truth.answer)
    else {
        return 0.0;
    };
    let pair = said.target.and_then(|idx| case.matches.get(idx));
    let right = pair.filter(|pair| pair.truth_idx.is_some() && pair.truth_idx == truth.target);
    right.map_or(0.0, |pair| reward(&term.shape, pair.iou, case.attempt.progress))
}

/// Σ value / norm over the pairs.
pub(super) fn over_pairs(
    case: &Case,
    term: &TermConfig,
    value: impl Fn(&Item, &Item, f64) -> f64,
) -> f64 {
    if let Some(settled) = case.settled() {
        return settled;
    }
    let labelled = term.label == Some(true);
    let counts = |p: &Item, t: &Item| !labelled || same_item_label(p, t);
    let each = case.pairs().filter(|(p, t, _)| counts(p, t)).map(|(p, t, u)| value(p, t, u));
    let sum: f64 = each.sum();
    let divisor = norm(case, term.norm);
    if divisor == 0 { 0.0 } else { (sum / divisor as f64).min(most(term)) }
}

pub(super) fn norm(case: &Case, norm: Option<Norm>) -> usize {
    let (n, m) = (case.n_predicted(), case.true_items().len());
    match norm.unwrap_or(Norm::Max) {
        Norm::Predicted => n,
        Norm::Truth => m,
        Norm::Max => n.max(m),
        Norm::Matched => case.pairs().count(),
    }
}

fn most(term: &TermConfig) -> f64 {
    super::range(term).1
}

fn hits(case: &Case, term: &TermConfig) -> usize {
    let threshold = term.threshold.unwrap_or(HIT);
    let labelled = term.label == Some(true);
    let hit = |&(p, t, likeness): &(&Item, &Item, f64)| {
        likeness >= threshold && (!labelled || same_item_label(p, t))
    };
    case.pairs().filter(hit).count()
}

fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn same(a: Option<&str>, b: Option<&str>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => same_label(a, b),
        (a, b) => a == b,
    }
}

fn bbox(item: &Item) -> Option<BBox> {
    match item.place {
        Place::Box(bbox) => Some(bbox),
        _ => None,
    }
}
