//! Detection measured over many questions.

use std::sync::Arc;

use vrft_dataset::Boxes;
use vrft_reward::{BBox, Item, Place, Space, match_greedily};
use vrft_score::detection::Question;
use vrft_score::ratio_interval;
use vrft_vision::{Original, Rect, Resized, Sides, Thousandths};

use crate::precision::Precision;

/// What a question is about, as far as it is known besides its true answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Subject {
    /// The category whose objects are asked for. Without one, each box is of the category that it is labeled with, and
    /// boxes without labels are all of one category.
    pub category: Option<Arc<str>>,
    /// Width and height of the picture, as it is and as the model sees it.
    pub sides: Option<Sides>,
    /// The annotated boxes that the true answer was made of.
    pub boxes: Option<Boxes>,
}

/// Gathers what was predicted and what is true, question by question.
#[derive(Debug, Clone, Default)]
pub struct DetectionEvaluator {
    precision: Precision,
    /// For each image: sum of the IoUs of its true boxes, number of true boxes.
    ious: Vec<(f64, f64)>,
    /// Questions whose answers are measured in pixels against the annotations themselves.
    n_annotated: usize,
}

/// What was measured. `None` where no image has a true box.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct DetectionReport {
    /// COCO's average precision: the mean over the categories, and over the overlaps 0.5 to 0.95.
    pub ap: Option<f64>,
    /// Average precision where an overlap of 0.5 is enough.
    pub ap50: Option<f64>,
    /// Average precision where an overlap of 0.75 is enough; this and the next, where all questions are annotated in pixels.
    pub ap75: Option<f64>,
    /// Average precision of small, medium and large objects: below 32², 96² and above.
    pub ap_by_size: [Option<f64>; 3],
    /// Mean over all true boxes of their IoU with the prediction that was matched to them, 0 for a missed one.
    pub mean_iou: Option<f64>,
    /// 95% interval of `mean_iou` over the choice of images.
    pub mean_iou_interval: Option<(f64, f64)>,
    /// Number of images that were added.
    pub n_images: usize,
}

impl DetectionEvaluator {
    /// Adds a question: the items of the answer, those of the true answer, both in `space`, and what it is about.
    pub fn add(&mut self, predicted: &[Item], truth: &[Item], subject: &Subject, space: Space) {
        let predicted: Vec<Labeled> = predicted.iter().filter_map(Labeled::of).collect();
        let truth: Vec<Labeled> = truth.iter().filter_map(Labeled::of).collect();
        let detections: Vec<_> = predicted.iter().map(|one| one.detection).collect();
        let boxes: Vec<BBox> = truth.iter().map(|one| one.detection.bbox).collect();
        let matches = match_greedily(&detections, &boxes, 0.0);
        // The sum of nothing is -0, which nobody wants to read.
        let sum = matches.iter().map(|m| m.iou).sum::<f64>() + 0.0;
        self.ious.push((sum, boxes.len() as f64));

        self.precision.begin();
        let annotated = subject.sides.as_ref().zip(subject.boxes.as_ref());
        self.n_annotated += usize::from(annotated.is_some());
        let category = |label: Option<&'_ str>| -> String {
            let asked = subject.category.as_deref();
            // An answer may name something else than what it was asked for.
            label.filter(|label| !label.is_empty()).or(asked).unwrap_or_default().to_owned()
        };
        for Labeled { detection, label } in &predicted {
            let corners = match annotated {
                Some((sides, _)) => in_pixels(&detection.bbox, space, sides),
                None => corners(&detection.bbox),
            };
            self.precision.add_prediction(
                &category(*label),
                with_sides(corners),
                detection.confidence,
            );
        }
        let Some((_, annotated)) = annotated else {
            for Labeled { detection, label } in &truth {
                let bbox = with_sides(corners(&detection.bbox));
                let area = bbox[2] * bbox[3];
                self.precision.add_truth(&category(*label), bbox, area, false);
            }
            return;
        };
        for (rect, area) in annotated.iter().zip(&annotated.areas) {
            let bbox = with_sides(rect.corners());
            self.precision.add_truth(&category(None), bbox, *area, false);
        }
        for rect in &annotated.crowds {
            let bbox = with_sides(rect.corners());
            let area = bbox[2] * bbox[3];
            self.precision.add_truth(&category(None), bbox, area, true);
        }
    }

    /// Mean over all true boxes of their IoU with the prediction that was matched to them.
    pub fn mean_iou(&self) -> Option<f64> {
        let sum: f64 = self.ious.iter().map(|image| image.0).sum();
        let count: f64 = self.ious.iter().map(|image| image.1).sum();
        (count > 0.0).then(|| sum / count)
    }

    /// The questions that were added, in their order, as average precision counts them.
    pub(crate) fn questions(&self) -> &[Question] {
        self.precision.questions()
    }

    /// Measures all questions that were added.
    pub fn report(&self) -> DetectionReport {
        let n_images = self.ious.len();
        let summary = self.precision.summary().expect("ids are unique");
        let is_annotated = n_images > 0 && self.n_annotated == n_images;
        let in_pixels = |name: &str| summary.get(name).filter(|_| is_annotated);
        DetectionReport {
            ap: summary.get("AP"),
            ap50: summary.get("AP50"),
            ap75: in_pixels("AP75"),
            ap_by_size: ["APs", "APm", "APl"].map(in_pixels),
            mean_iou: self.mean_iou(),
            mean_iou_interval: ratio_interval(&self.ious),
            n_images,
        }
    }
}

/// A box with its confidence, and the name that the answer gives it.
struct Labeled<'a> {
    detection: vrft_reward::Detection,
    label: Option<&'a str>,
}

impl<'a> Labeled<'a> {
    /// `None` for an item that is no box.
    fn of(item: &'a Item) -> Option<Self> {
        let Place::Box(bbox) = item.place else { return None };
        let confidence = item.confidence.unwrap_or(1.0);
        let detection = vrft_reward::Detection { bbox, confidence };
        Some(Self { detection, label: item.label.as_deref() })
    }
}

fn corners(bbox: &BBox) -> [f64; 4] {
    [bbox.x1, bbox.y1, bbox.x2, bbox.y2]
}

/// Corners in pixels of the upright picture.
fn in_pixels(bbox: &BBox, space: Space, sides: &Sides) -> [f64; 4] {
    let corners = corners(bbox);
    match space {
        Space::Thousandths => Rect::<Thousandths>::new(corners).to::<Original>(sides).corners(),
        Space::Pixels => Rect::<Resized>::new(corners).to::<Original>(sides).corners(),
        Space::Unit => of_sides(corners, sides),
        Space::Percent => of_sides(corners.map(|percent| percent / 100.0), sides),
    }
}

/// Shares of the sides in pixels of the upright picture.
fn of_sides([x1, y1, x2, y2]: [f64; 4], sides: &Sides) -> [f64; 4] {
    let (width, height) = sides.original();
    [x1 * width, y1 * height, x2 * width, y2 * height]
}

/// x, y, width, height.
fn with_sides([x1, y1, x2, y2]: [f64; 4]) -> [f64; 4] {
    [x1, y1, x2 - x1, y2 - y1]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(x1: f64, x2: f64, confidence: f64) -> Item {
        let bbox = BBox::try_new([x1, 0.0, x2, 100.0]).unwrap();
        Item { confidence: Some(confidence), ..Item::at(Place::Box(bbox)) }
    }
    fn add(evaluator: &mut DetectionEvaluator, predicted: &[Item], truth: &[Item]) {
        evaluator.add(predicted, truth, &Subject::default(), Space::Thousandths);
    }

    #[test]
    fn mean_iou_is_over_true_boxes() {
        let mut evaluator = DetectionEvaluator::default();
        add(&mut evaluator, &[item(0., 80., 0.9)], &[item(0., 100., 1.), item(500., 700., 1.)]); // 0.8, missed
        let two = [item(0., 100., 0.2), item(0., 50., 0.6)]; // 0.5 chose first
        add(&mut evaluator, &two, &[item(0., 100., 1.)]);
        add(&mut evaluator, &[item(0., 80., 0.9)], &[]);
        let report = evaluator.report();
        assert!((report.mean_iou.unwrap() - 1.3 / 3.0).abs() < 1e-12);
        assert_eq!(report.n_images, 3);
        let (low, high) = report.mean_iou_interval.unwrap();
        assert!((0.4..=0.434).contains(&low) && (0.43..=0.5).contains(&high), "{low} {high}");
    }
    #[test]
    fn precision_prefers_the_greater_overlap_at_each_threshold() {
        let mut evaluator = DetectionEvaluator::default();
        add(&mut evaluator, &[item(0., 80., 0.9)], &[item(0., 100., 1.)]);
        // 0.8 is enough for 0.5, 0.55, … 0.8: 7 of 10.
        assert!((evaluator.report().ap.unwrap() - 0.7).abs() < 1e-12);
        assert!((evaluator.report().ap50.unwrap() - 1.0).abs() < 1e-12);
    }
    #[test]
    fn nothing_added() {
        assert_eq!(DetectionEvaluator::default().report(), DetectionReport::default());
    }

    /// A picture of 200 × 100 pixels with an object from 20 to 120, a crowd at the right, and answers in thousandths.
    #[test]
    fn annotated_boxes_are_compared_in_pixels_and_a_crowd_is_no_miss() {
        let rect = |corners| Rect::<Original>::new(corners);
        let object = rect([20.0, 0.0, 120.0, 40.0]);
        let crowd = rect([150.0, 0.0, 200.0, 100.0]);
        let boxes = Boxes::new([object].into(), [900.0].into(), [crowd].into());
        let subject = Subject {
            category: Some("cat".into()),
            sides: Some(Sides::new((200.0, 100.0), (56.0, 28.0))),
            boxes: Some(boxes),
        };
        let at = |corners: [f64; 4], confidence| Item {
            confidence: Some(confidence),
            ..Item::at(Place::Box(BBox::try_new(corners).unwrap()))
        };
        let found = at([100.0, 0.0, 600.0, 400.0], 0.5);
        // Surer than the right one, so it would halve the precision if it counted.
        let in_crowd = at([800.0, 100.0, 900.0, 300.0], 0.9);
        let mut evaluator = DetectionEvaluator::default();
        evaluator.add(&[found.clone(), in_crowd], &[found], &subject, Space::Thousandths);
        let report = evaluator.report();
        assert_eq!((report.ap, report.ap75), (Some(1.0), Some(1.0)));
        // Its outline covers 900 pixels, so it is small, though its box has 4000.
        assert_eq!(report.ap_by_size, [Some(1.0), None, None]);
    }
}
