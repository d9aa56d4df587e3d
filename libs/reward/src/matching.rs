//! Which true box each prediction is compared with.

use crate::{BBox, Detection};

/// A prediction and the true box it took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Match {
    /// Index of the true box; `None` where no box was left that it overlaps enough.
    pub truth_idx: Option<usize>,
    /// Overlap with that box, 0 without one.
    pub iou: f64,
}

/// Pairs predictions with true boxes, one to one, and returns one match per prediction in the given order.
///
/// From the most confident prediction down (equal ones in their order), each takes the true box of highest IoU
/// that is still free, if that IoU is above `min_iou`. This is the greedy rule of Visual-RFT's program; its paper
/// (arXiv 2503.01785, section 3.2) leaves the matching open.
pub fn match_greedily(predictions: &[Detection], truth: &[BBox], min_iou: f64) -> Vec<Match> {
    let mut order: Vec<usize> = (0..predictions.len()).collect();
    order.sort_by(|&a, &b| predictions[b].confidence.total_cmp(&predictions[a].confidence));
    let mut free = vec![true; truth.len()];
    let mut matches = vec![Match { truth_idx: None, iou: 0.0 }; predictions.len()];
    for idx in order {
        let best = best_free(&predictions[idx].bbox, truth, &free);
        if let Some((truth_idx, iou)) = best.filter(|&(_, iou)| iou > min_iou) {
            free[truth_idx] = false;
            matches[idx] = Match { truth_idx: Some(truth_idx), iou };
        }
    }
    matches
}

/// The free box of highest IoU; the first one among equals.
fn best_free(bbox: &BBox, truth: &[BBox], free: &[bool]) -> Option<(usize, f64)> {
    let candidates = truth.iter().enumerate().filter(|&(idx, _)| free[idx]);
    candidates.map(|(idx, other)| (idx, bbox.iou(other))).fold(None, |best, candidate| match best {
        Some((_, iou)) if iou >= candidate.1 => best,
        _ => Some(candidate),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bbox(x1: f64, x2: f64) -> BBox {
        BBox::try_new([x1, 0.0, x2, 100.0]).unwrap()
    }
    /// Predictions and truth as horizontal spans of one height, so that IoU is a ratio of lengths.
    #[track_caller]
    fn check(predictions: &[(f64, f64, f64)], truth: &[(f64, f64)], expect: &[Option<usize>]) {
        let predictions: Vec<_> = predictions
            .iter()
            .map(|&(x1, x2, confidence)| Detection { bbox: bbox(x1, x2), confidence })
            .collect();
        let truth: Vec<_> = truth.iter().map(|&(x1, x2)| bbox(x1, x2)).collect();
        let matches = match_greedily(&predictions, &truth, 0.5);
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
}
