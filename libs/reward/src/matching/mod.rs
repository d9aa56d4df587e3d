//! Which true item each prediction is compared with.

mod hungarian;

pub(crate) use hungarian::best_pairing;

use crate::config::{MatchBy, MatchConfig, Repeats};
use crate::{BBox, Detection, Item};

/// A prediction and the true item it was given.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Match {
    /// Index of the true item; `None` where none was left that is enough like it.
    pub truth_idx: Option<usize>,
    /// Likeness to that item, 0 without one.
    pub iou: f64,
}

const NO_MATCH: Match = Match { truth_idx: None, iou: 0.0 };

/// The least threshold, below which no likeness lies by its definition. Items that are paired in their order are paired
/// then whatever they are: a box that Visual-RFT's program reads may be less alike than that.
const PAIRS_ALL: f64 = -1.0;

/// Pairs predicted boxes with true ones, one to one, and returns one match per prediction in the given order.
///
/// From the most confident prediction down (equal ones in their order), each takes the true box of highest IoU
/// that is still free, if that IoU is above `min_iou`. This is the greedy rule of Visual-RFT's program; its paper
/// (arXiv 2503.01785, section 3.2) leaves the matching open.
pub fn match_greedily(predictions: &[Detection], truth: &[BBox], min_iou: f64) -> Vec<Match> {
    let confidences: Vec<f64> = predictions.iter().map(|p| p.confidence).collect();
    let likeness = |p: usize, t: usize| Some(predictions[p].bbox.iou(&truth[t]));
    by_confidence(&confidences, truth.len(), &likeness, min_iou)
}

/// Pairs items as declared; `unit` is the length of the space.
pub(crate) fn match_items(
    predicted: &[Item],
    truth: &[Item],
    config: &MatchConfig,
    unit: f64,
) -> Vec<Match> {
    let likeness = |p: usize, t: usize| {
        let (p, t) = (&predicted[p], &truth[t]);
        let fine = !config.label || p.has_label_of(t);
        fine.then(|| p.likeness(t, config, unit))
    };
    let threshold = config.threshold;
    match config.by {
        MatchBy::None => in_order(predicted.len(), truth.len(), &likeness, threshold),
        MatchBy::GreedyConfidence => {
            let confidences: Vec<f64> =
                predicted.iter().map(|p| p.confidence.unwrap_or(1.0)).collect();
            by_confidence(&confidences, truth.len(), &likeness, threshold)
        }
        MatchBy::GreedyIou => by_likeness(predicted.len(), truth.len(), &likeness, threshold),
        MatchBy::Hungarian => {
            let gain = |p, t| likeness(p, t).filter(|l| *l > threshold);
            let pairs = best_pairing(predicted.len(), truth.len(), &gain);
            pairs.into_iter().map(|pair| found(pair, f64::NEG_INFINITY)).collect()
        }
    }
}

/// The items without those that repeat an earlier place to the digit, if that is declared.
pub(crate) fn without_repeats(items: &mut Vec<Item>, config: &MatchConfig) {
    if config.repeats == Repeats::Drop {
        let mut kept: Vec<Item> = Vec::new();
        for item in items.drain(..) {
            if kept.iter().all(|kept| kept.place != item.place) {
                kept.push(item);
            }
        }
        *items = kept;
    }
}

type Likeness<'a> = &'a dyn Fn(usize, usize) -> Option<f64>;

fn by_confidence(
    confidences: &[f64],
    n_true: usize,
    likeness: Likeness,
    threshold: f64,
) -> Vec<Match> {
    let mut order: Vec<usize> = (0..confidences.len()).collect();
    order.sort_by(|&a, &b| confidences[b].total_cmp(&confidences[a]));
    let mut free = vec![true; n_true];
    let mut matches = vec![NO_MATCH; confidences.len()];
    for p in order {
        let candidates =
            (0..n_true).filter(|t| free[*t]).filter_map(|t| Some((t, likeness(p, t)?)));
        // The first one among equals.
        let best = candidates.fold(None, |best: Option<(usize, f64)>, candidate| match best {
            Some((_, likeness)) if likeness >= candidate.1 => best,
            _ => Some(candidate),
        });
        matches[p] = found(best, threshold);
        if let Some(t) = matches[p].truth_idx {
            free[t] = false;
        }
    }
    matches
}

fn by_likeness(n: usize, n_true: usize, likeness: Likeness, threshold: f64) -> Vec<Match> {
    let all = (0..n).flat_map(|p| (0..n_true).map(move |t| (p, t)));
    let mut pairs: Vec<(usize, usize, f64)> = all
        .filter_map(|(p, t)| Some((p, t, likeness(p, t)?)))
        .filter(|pair| pair.2 > threshold)
        .collect();
    pairs.sort_by(|a, b| b.2.total_cmp(&a.2));
    let mut matches = vec![NO_MATCH; n];
    let mut free = vec![true; n_true];
    for (p, t, likeness) in pairs {
        if free[t] && matches[p].truth_idx.is_none() {
            free[t] = false;
            matches[p] = Match { truth_idx: Some(t), iou: likeness };
        }
    }
    matches
}

fn in_order(n: usize, n_true: usize, likeness: Likeness, threshold: f64) -> Vec<Match> {
    let pair = |k: usize| if k < n_true { Some((k, likeness(k, k)?)) } else { None };
    let threshold = if threshold <= PAIRS_ALL { f64::NEG_INFINITY } else { threshold };
    (0..n).map(|k| found(pair(k), threshold)).collect()
}

fn found(best: Option<(usize, f64)>, threshold: f64) -> Match {
    match best.filter(|&(_, likeness)| likeness > threshold) {
        Some((t, likeness)) => Match { truth_idx: Some(t), iou: likeness },
        None => NO_MATCH,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Place;

    fn bbox(x1: f64, x2: f64) -> BBox {
        BBox::try_new([x1, 0.0, x2, 100.0]).unwrap()
    }
    /// Predictions and truth as horizontal spans of one height, so that IoU is a ratio of lengths.
    #[track_caller]
    fn check(predictions: &[(f64, f64, f64)], truth: &[(f64, f64)], expect: &[Option<usize>]) {
        let detections: Vec<_> = predictions
            .iter()
            .map(|&(x1, x2, confidence)| Detection { bbox: bbox(x1, x2), confidence })
            .collect();
        let boxes: Vec<_> = truth.iter().map(|&(x1, x2)| bbox(x1, x2)).collect();
        let matches = match_greedily(&detections, &boxes, 0.5);
        assert_eq!(matches.iter().map(|m| m.truth_idx).collect::<Vec<_>>(), expect);
        check_by(MatchBy::GreedyConfidence, predictions, truth, expect);
    }
    #[track_caller]
    fn check_by(
        by: MatchBy,
        predictions: &[(f64, f64, f64)],
        truth: &[(f64, f64)],
        expect: &[Option<usize>],
    ) {
        let item = |x1, x2, confidence| Item { confidence, ..Item::at(Place::Box(bbox(x1, x2))) };
        let predicted: Vec<_> =
            predictions.iter().map(|&(x1, x2, c)| item(x1, x2, Some(c))).collect();
        let truth: Vec<_> = truth.iter().map(|&(x1, x2)| item(x1, x2, None)).collect();
        let config = MatchConfig { by, ..MatchConfig::default() };
        let matches = match_items(&predicted, &truth, &config, 1000.0);
        assert_eq!(matches.iter().map(|m| m.truth_idx).collect::<Vec<_>>(), expect);
    }

    #[test]
    fn each_takes_the_nearest() {
        check(
            &[(0., 90., 0.5), (200., 300., 0.5)],
            &[(210., 300.), (0., 100.)],
            &[Some(1), Some(0)],
        );
    }
    #[test]
    fn the_confident_one_chooses_first() {
        check(&[(0., 100., 0.1), (0., 80., 0.9)], &[(0., 100.)], &[None, Some(0)]);
    }
    #[test]
    fn the_earlier_of_equals_chooses_first() {
        check(&[(0., 80., 0.9), (0., 100., 0.9)], &[(0., 100.)], &[Some(0), None]);
    }
    #[test]
    fn the_threshold_is_strict() {
        check(&[(0., 50., 1.0)], &[(0., 100.)], &[None]);
        check(&[(0., 51., 1.0)], &[(0., 100.)], &[Some(0)]);
    }
    #[test]
    fn nothing_to_match() {
        check(&[(0., 100., 1.0)], &[], &[None]);
        check(&[], &[(0., 100.)], &[]);
    }
    #[test]
    fn the_most_alike_pair_goes_first() {
        check_by(
            MatchBy::GreedyIou,
            &[(0., 80., 0.9), (0., 100., 0.1)],
            &[(0., 100.)],
            &[None, Some(0)],
        );
    }
    #[test]
    fn hungarian_gives_way_for_the_sum() {
        // Greedily, the first takes the second true box (0.9) and nothing is left for the second (0.53).
        let predictions = [(0., 90., 0.9), (40., 100., 0.9)];
        let truth = [(0., 60.), (0., 100.)];
        check_by(MatchBy::GreedyIou, &predictions, &truth, &[Some(1), None]);
        check_by(MatchBy::Hungarian, &predictions, &truth, &[Some(0), Some(1)]);
    }
    #[test]
    fn in_order_only() {
        let predictions = [(0., 90., 0.9), (200., 300., 0.9)];
        check_by(MatchBy::None, &predictions, &[(200., 300.), (200., 300.)], &[None, Some(1)]);
    }
}
