//! Detection measured over many images.

use vrft_reward::{BBox, Detection, RankedImage, at_threshold, match_greedily, over_thresholds};

use vrft_score::ratio_interval;

/// Gathers what was predicted and what is true, image by image, for one question each.
#[derive(Debug, Clone, Default)]
pub struct DetectionEvaluator {
    images: Vec<RankedImage>,
    /// For each image: sum of the IoUs of its true boxes, number of true boxes.
    ious: Vec<(f64, f64)>,
}

/// What was measured. `None` where no image has a true box.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DetectionReport {
    /// COCO's average precision, the mean over the overlaps 0.5 to 0.95; all questions rank as one category.
    pub ap: Option<f64>,
    /// Average precision where an overlap of 0.5 is enough.
    pub ap50: Option<f64>,
    /// Mean over all true boxes of their IoU with the prediction that was matched to them, 0 for a missed one.
    pub mean_iou: Option<f64>,
    /// 95% interval of `mean_iou` over the choice of images.
    pub mean_iou_interval: Option<(f64, f64)>,
    /// Images added.
    pub n_images: usize,
}

impl DetectionEvaluator {
    /// Adds an image.
    pub fn add(&mut self, predictions: Vec<Detection>, truth: &[BBox]) {
        let matches = match_greedily(&predictions, truth, 0.0);
        self.ious.push((matches.iter().map(|m| m.iou).sum(), truth.len() as f64));
        self.images.push(RankedImage::new(predictions, truth.to_vec()));
    }

    /// Mean over all true boxes of their IoU with the prediction that was matched to them.
    pub fn mean_iou(&self) -> Option<f64> {
        let sum: f64 = self.ious.iter().map(|image| image.0).sum();
        let count: f64 = self.ious.iter().map(|image| image.1).sum();
        (count > 0.0).then(|| sum / count)
    }

    /// Measures all images that were added.
    pub fn report(&self) -> DetectionReport {
        DetectionReport {
            ap: over_thresholds(&self.images),
            ap50: at_threshold(&self.images, 0.5),
            mean_iou: self.mean_iou(),
            mean_iou_interval: ratio_interval(&self.ious),
            n_images: self.images.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bbox(x2: f64) -> BBox {
        BBox::try_new([0.0, 0.0, x2, 100.0]).unwrap()
    }
    fn detection(x2: f64, confidence: f64) -> Detection {
        Detection { bbox: bbox(x2), confidence }
    }

    #[test]
    fn mean_iou_is_over_true_boxes() {
        let mut evaluator = DetectionEvaluator::default();
        let far = BBox::try_new([500., 500., 700., 600.]).unwrap();
        evaluator.add(vec![detection(80., 0.9)], &[bbox(100.), far]); // 0.8, missed
        evaluator.add(vec![detection(100., 0.2), detection(50., 0.6)], &[bbox(100.)]); // 0.5 chose first
        evaluator.add(vec![detection(80., 0.9)], &[]);
        let report = evaluator.report();
        assert!((report.mean_iou.unwrap() - 1.3 / 3.0).abs() < 1e-12);
        assert_eq!(report.n_images, 3);
        let (low, high) = report.mean_iou_interval.unwrap();
        assert!((0.4..=0.434).contains(&low) && (0.43..=0.5).contains(&high), "{low} {high}");
    }
    #[test]
    fn precision_prefers_the_greater_overlap_at_each_threshold() {
        let mut evaluator = DetectionEvaluator::default();
        evaluator.add(vec![detection(80., 0.9)], &[bbox(100.)]);
        // 0.8 is enough for 0.5, 0.55, … 0.8: 7 of 10.
        assert!((evaluator.report().ap.unwrap() - 0.7).abs() < 1e-12);
        assert!((evaluator.report().ap50.unwrap() - 1.0).abs() < 1e-12);
    }
    #[test]
    fn nothing_added() {
        let report = DetectionEvaluator::default().report();
        let nothing = (report.ap, report.ap50, report.mean_iou, report.mean_iou_interval);
        assert_eq!((nothing, report.n_images), ((None, None, None, None), 0));
    }
}
