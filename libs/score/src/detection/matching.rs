//! One category in one image: which detection is which true box, at each overlap.

use super::{Annotation, Prediction, Protocol};
use crate::detection::Id;

/// Truth and predictions of one category in one image, in the order of their files.
#[derive(Debug, Clone, Default)]
pub(crate) struct Located<'a> {
    pub(crate) truth: Vec<&'a Annotation>,
    pub(crate) predictions: Vec<&'a Prediction>,
}

/// What became of the detections in one image, the likeliest first.
#[derive(Debug, Clone)]
pub(crate) struct ImageMatches {
    /// The image's place in the order of ids.
    pub(crate) image: usize,
    pub(crate) scores: Vec<f64>,
    /// By least overlap, then by detection.
    pub(crate) outcomes: Vec<Vec<Outcome>>,
    /// True boxes that should be found.
    pub(crate) n_truth: usize,
}

/// What a detection counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A true box was found.
    Hit,
    /// A prediction where no object is.
    Miss,
    /// Neither: it found something that does not count, or is itself of another size.
    Ignored,
}

impl Located<'_> {
    /// Matches greedily, the likeliest detection first; each takes the true box that it overlaps most. `area` is the
    /// range within which boxes count; `partial` says that there may be more true boxes than are annotated (LVIS);
    /// `least` are the overlaps that are asked for.
    pub(crate) fn matches(
        &self,
        image: usize,
        area: (f64, f64),
        protocol: Protocol,
        partial: bool,
        least: &[f64],
    ) -> ImageMatches {
        let outside = |size: f64| size < area.0 || size > area.1;
        let ignored = |truth: &Annotation| {
            let excused = if protocol == Protocol::Coco { truth.crowd } else { truth.ignore };
            excused || outside(truth.area)
        };
        // True boxes that count come first: a detection takes one that does not only if no other is left.
        let mut truth: Vec<(&Annotation, bool)> =
            self.truth.iter().map(|truth| (*truth, ignored(truth))).collect();
        truth.sort_by_key(|(_, ignored)| *ignored);
        let mut detections = self.predictions.clone();
        detections.sort_by(|a, b| b.score.total_cmp(&a.score));
        detections.truncate(protocol.limit());

        let is_crowd = |truth: &Annotation| protocol == Protocol::Coco && truth.crowd;
        let overlap = |d: &Prediction, t: &Annotation| overlap(&d.bbox, &t.bbox, is_crowd(t));
        let overlaps: Vec<Vec<f64>> =
            detections.iter().map(|d| truth.iter().map(|(t, _)| overlap(d, t)).collect()).collect();
        let outcomes = least.iter().map(|least| {
            let found = assign(&overlaps, &truth, &is_crowd, *least);
            let of = |(d, found): (&&Prediction, Option<usize>)| {
                // Both programs tell a match by its id, so that a true box of id 0 is never found.
                let found = found.map(|t| (truth[t].0, truth[t].1));
                let matched = found.is_some_and(|(t, _)| t.id != Id::Number(0));
                let excused = found.is_some_and(|(_, ignored)| ignored)
                    || !matched && (outside(d.area()) || partial);
                match (excused, matched) {
                    (true, _) => Outcome::Ignored,
                    (false, true) => Outcome::Hit,
                    (false, false) => Outcome::Miss,
                }
            };
            detections.iter().zip(found).map(of).collect()
        });
        let outcomes = outcomes.collect();
        let n_truth = truth.iter().filter(|(_, ignored)| !ignored).count();
        let scores = detections.iter().map(|detection| detection.score).collect();
        ImageMatches { image, scores, outcomes, n_truth }
    }
}

/// For each detection, in order, the true box that it takes. A crowd can be taken again.
fn assign(
    overlaps: &[Vec<f64>],
    truth: &[(&Annotation, bool)],
    is_crowd: &dyn Fn(&Annotation) -> bool,
    threshold: f64,
) -> Vec<Option<usize>> {
    let mut taken = vec![false; truth.len()];
    let take = |overlaps: &Vec<f64>| {
        let mut best: Option<usize> = None;
        let mut best_overlap = threshold.min(1.0 - 1e-10);
        for (idx, (annotation, ignored)) in truth.iter().enumerate() {
            if taken[idx] && !is_crowd(annotation) {
                continue;
            }
            // What counts was found; what does not count stands behind it.
            if *ignored && best.is_some_and(|best| !truth[best].1) {
                break;
            }
            if overlaps[idx] >= best_overlap {
                (best, best_overlap) = (Some(idx), overlaps[idx]);
            }
        }
        if let Some(best) = best {
            taken[best] = true;
        }
        best
    };
    overlaps.iter().map(take).collect()
}

/// Intersection over union; over the detection's own area where the truth is a crowd.
fn overlap(d: &[f64; 4], t: &[f64; 4], crowd: bool) -> f64 {
    let width = (d[2] + d[0]).min(t[2] + t[0]) - d[0].max(t[0]);
    let height = (d[3] + d[1]).min(t[3] + t[1]) - d[1].max(t[1]);
    if width <= 0.0 || height <= 0.0 {
        return 0.0;
    }
    let (of_detection, of_truth) = (d[2] * d[3], t[2] * t[3]);
    let common = width * height;
    common / if crowd { of_detection } else { of_detection + of_truth - common }
}
