//! Average precision as COCO defines it, number for number what `pycocotools` computes.
//!
//! Detections of all images are ranked by confidence; going down the ranks gives a curve of precision over recall,
//! whose upper envelope is read at 101 recalls. <https://cocodataset.org/#detection-eval>

use crate::{BBox, Detection};

/// Number of overlaps at which a detection may count as right: 0.5, 0.55, … 0.95.
pub const IOU_THRESHOLDS: usize = 10;
/// Most confident detections of an image that count.
pub const MAX_DETECTIONS: usize = 100;
/// Recalls at which the curve is read: 0, 0.01, … 1.
const RECALLS: usize = 101;

/// Detections and true boxes of one image, for one category.
#[derive(Debug, Clone, PartialEq)]
pub struct RankedImage {
    /// Most confident first, at most [`MAX_DETECTIONS`].
    detections: Vec<Detection>,
    truth: Vec<BBox>,
}

impl RankedImage {
    /// An image from what was predicted and what is true.
    pub fn new(mut detections: Vec<Detection>, truth: Vec<BBox>) -> Self {
        detections.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
        detections.truncate(MAX_DETECTIONS);
        Self { detections, truth }
    }

    /// Whether each detection is right: from the most confident down, each takes the true box of highest IoU
    /// that is free, if they overlap enough. Among equals the last one, as COCO has it.
    fn hits(&self, min_iou: f64) -> Vec<bool> {
        let mut free = vec![true; self.truth.len()];
        let take = |detection: &Detection| {
            let mut best = None;
            let mut best_iou = min_iou.min(1.0 - 1e-10);
            for (idx, truth) in self.truth.iter().enumerate().filter(|&(idx, _)| free[idx]) {
                let iou = detection.bbox.iou(truth);
                if iou >= best_iou {
                    (best, best_iou) = (Some(idx), iou);
                }
            }
            best.map(|idx| free[idx] = false).is_some()
        };
        self.detections.iter().map(take).collect()
    }
}

/// COCO's main number: the mean over [`IOU_THRESHOLDS`] overlaps. `None` without a true box.
pub fn over_thresholds(images: &[RankedImage]) -> Option<f64> {
    // Spaced as numpy's linspace rounds them, so that an overlap of exactly 0.7 falls on the same side.
    let step = (0.95 - 0.5) / (IOU_THRESHOLDS - 1) as f64;
    let min_iou = |k: usize| if k == IOU_THRESHOLDS - 1 { 0.95 } else { k as f64 * step + 0.5 };
    let each = (0..IOU_THRESHOLDS).map(|k| at_threshold(images, min_iou(k)));
    let sum: Option<f64> = each.sum();
    sum.map(|sum| sum / IOU_THRESHOLDS as f64)
}

/// Average precision at one overlap, from 0 to 1; `None` without a true box.
pub fn at_threshold(images: &[RankedImage], min_iou: f64) -> Option<f64> {
    let n_truth: usize = images.iter().map(|image| image.truth.len()).sum();
    if n_truth == 0 {
        return None;
    }
    let mut ranked: Vec<(f64, bool)> = Vec::new();
    for image in images {
        let confidences = image.detections.iter().map(|detection| detection.confidence);
        ranked.extend(confidences.zip(image.hits(min_iou)));
    }
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
    Some(area(&ranked, n_truth))
}

/// Mean of the precision curve's envelope at the fixed recalls.
fn area(ranked: &[(f64, bool)], n_truth: usize) -> f64 {
    let mut hits = 0.0;
    let (mut recall, mut precision) = (Vec::new(), Vec::new());
    for (rank, &(_, hit)) in ranked.iter().enumerate() {
        hits += f64::from(u8::from(hit));
        recall.push(hits / n_truth as f64);
        precision.push(hits / (rank + 1) as f64);
    }
    for rank in (1..precision.len()).rev() {
        precision[rank - 1] = precision[rank - 1].max(precision[rank]);
    }
    let at = |recall_idx: usize| {
        let wanted = recall_idx as f64 * (1.0 / (RECALLS - 1) as f64);
        let rank = recall.partition_point(|recall| *recall < wanted);
        precision.get(rank).copied().unwrap_or(0.0)
    };
    (0..RECALLS).map(at).sum::<f64>() / RECALLS as f64
}

#[cfg(test)]
mod tests;
