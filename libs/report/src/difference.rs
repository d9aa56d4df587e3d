//! How much better one policy is than another, and how sure that is.

use std::collections::{BTreeMap, BTreeSet};

use vrft_score::detection::{Question, of_questions, paired_intervals};

use crate::evaluation::Evaluation;
use crate::number::{count, signed};
use crate::prediction::Prediction;
use crate::student::mean_interval;
use crate::{evaluation, label};

/// The change of a metric from one policy to another.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// Label of the policy compared with.
    pub from: String,
    /// Label of the policy that is judged.
    pub to: String,
    /// Name of the metric.
    pub metric: String,
    /// `to` minus `from`.
    pub delta: f64,
    /// 95 % confidence interval of the change; `None` when nothing is known about the spread, as where it is the same for
    /// all samples.
    pub interval: Option<(f64, f64)>,
    /// Samples that both policies answered, when the interval is of their paired differences (pictures, for average precision);
    /// 0 when it combines the two separate intervals, which makes it wider.
    pub n_paired: usize,
}

/// What a difference allows to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Better,
    Worse,
    /// The interval holds 0, or nothing changed.
    Unclear,
    /// There is no interval.
    Unknown,
}

/// Smaller changes than this are written as none.
const SHOWN: f64 = 5e-4;

impl Difference {
    pub(crate) fn verdict(&self) -> Verdict {
        match self.interval {
            None if self.delta.abs() < SHOWN => Verdict::Unclear,
            None => Verdict::Unknown,
            Some((low, _)) if low > 0.0 => Verdict::Better,
            Some((_, high)) if high < 0.0 => Verdict::Worse,
            Some(_) => Verdict::Unclear,
        }
    }

    /// `RFT − base: mIoU +0.149, 95 % CI +0.110 to +0.188, paired over 160 samples`.
    pub(crate) fn sentence(&self) -> String {
        let (from, to) = (label::display(&self.from), label::display(&self.to));
        let metric = evaluation::metric_title(&self.metric);
        let mut text = format!("{to} \u{2212} {from}: {metric} {}", signed(self.delta));
        let unit = if is_precision(&self.metric) { "picture" } else { "sample" };
        match self.interval {
            Some((low, high)) => {
                text += &format!(", 95 % CI {} to {}", signed(low), signed(high));
                if self.n_paired > 0 {
                    text += &format!(", paired over {}", count(self.n_paired, unit));
                }
            }
            None if self.n_paired > 1 => {
                text += &format!(", the same on each of {}", count(self.n_paired, unit));
            }
            None => {}
        }
        text
    }
}

/// The policies' answers that belong to an evaluation.
pub(crate) struct Side<'a> {
    pub(crate) evaluation: &'a Evaluation,
    pub(crate) predictions: &'a [Prediction],
}

/// Compares two policies by a metric that both have.
pub(crate) fn difference(from: &Side, to: &Side, metric: &str) -> Option<Difference> {
    let delta = to.evaluation.metric(metric)? - from.evaluation.metric(metric)?;
    let paired = if is_precision(metric) {
        paired_precision(from, to, metric)
    } else {
        paired_interval(from, to, metric)
    };
    let (interval, n_paired) = match paired {
        Some((interval, n)) => (interval, n),
        None => (separate_interval(from.evaluation, to.evaluation, metric, delta), 0),
    };
    Some(Difference {
        from: from.evaluation.label.clone(),
        to: to.evaluation.label.clone(),
        metric: metric.to_owned(),
        delta,
        interval,
        n_paired,
    })
}

/// The interval of paired differences, which equal ones do not have, and their number.
type Paired = (Option<(f64, f64)>, usize);

/// Interval of the mean difference per sample. Only if the predictions are those that the metric was
/// computed from: their means must agree with it.
fn paired_interval(from: &Side, to: &Side, metric: &str) -> Option<Paired> {
    let scores = |side: &Side| -> Option<BTreeMap<String, f64>> {
        let scored = side.predictions.iter();
        let scores: BTreeMap<String, f64> =
            scored.filter_map(|p| Some((p.key(), p.score()?))).collect();
        let mean = scores.values().sum::<f64>() / scores.len() as f64;
        ((mean - side.evaluation.metric(metric)?).abs() < 2e-3).then_some(scores)
    };
    let (before, after) = (scores(from)?, scores(to)?);
    let changes: Vec<f64> =
        after.iter().filter_map(|(id, score)| Some(score - before.get(id)?)).collect();
    // Fewer common samples than that would compare something other than the two means.
    if changes.len() < 2 || changes.len() * 10 < before.len().max(after.len()) * 9 {
        return None;
    }
    let (mean, half) = mean_interval(&changes)?;
    Some((half.map(|half| (mean - half, mean + half)), changes.len()))
}

/// Whether a metric is an average precision, which no mean over questions is.
pub(crate) fn is_precision(metric: &str) -> bool {
    ["ap", "ap50", "ap75"].contains(&metric)
}

/// Resamples of pictures for an interval; its ends are good to about a tenth of its width.
const N_RESAMPLES: usize = 200;

/// Interval of a difference of average precisions over the choice of pictures, computed again for both policies on the same
/// draws; and the number of pictures. Only if the predictions are those that the metric was computed from.
fn paired_precision(from: &Side, to: &Side, metric: &str) -> Option<Paired> {
    let name = match metric {
        "ap" => "AP",
        "ap50" => "AP50",
        "ap75" => "AP75",
        _ => return None,
    };
    let questions = |side: &Side| -> Option<Vec<Question>> {
        // In the order of the file, by which equals are ranked.
        let questions = side.predictions.iter().filter_map(|prediction| prediction.counted.clone());
        let questions: Vec<Question> = questions.collect();
        let measured = of_questions(&questions).ok()?.summary().get(name)?;
        ((measured - side.evaluation.metric(metric)?).abs() < 1e-6).then_some(questions)
    };
    let (before, after) = (questions(from)?, questions(to)?);
    let intervals = paired_intervals(&before, &after, N_RESAMPLES).ok()?;
    let interval = match metric {
        "ap" => intervals.ap,
        "ap50" => intervals.ap50,
        _ => intervals.ap75,
    };
    let pictures: BTreeSet<usize> = before.iter().map(|question| question.picture).collect();
    let interval = interval?;
    Some((Some(interval).filter(|(low, high)| low < high), pictures.len()))
}

/// Root of the summed squares of the two half-widths, as for independent means.
fn separate_interval(
    from: &Evaluation,
    to: &Evaluation,
    metric: &str,
    delta: f64,
) -> Option<(f64, f64)> {
    let half = |evaluation: &Evaluation| {
        let (low, high) = evaluation.interval(metric)?;
        Some(0.5 * (high - low))
    };
    let half = half(from)?.hypot(half(to)?);
    Some((delta - half, delta + half))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evaluation(label: &str, miou: f64) -> Evaluation {
        let (low, high) = (miou - 0.03, miou + 0.03);
        serde_json::from_str(&format!(
            r#"{{"label":"{label}","n":3,"metrics":{{"miou":{miou},"miou_ci_low":{low},"miou_ci_high":{high}}}}}"#
        ))
        .unwrap()
    }

    fn predictions(ious: [f64; 3]) -> Vec<Prediction> {
        let line = |(i, iou)| format!(r#"{{"sample_id":"s{i}","truth":[[0,0,9,9]],"iou":{iou}}}"#);
        let lines = ious.iter().enumerate().map(line);
        lines.map(|line| serde_json::from_str(&line).unwrap()).collect()
    }

    /* scipy: d = [.1, .2, .3]; t.interval(.95, 2, mean(d), sem(d)) = (-0.048414, 0.448414) */
    #[test]
    fn the_same_samples_are_compared_in_pairs() {
        let (base, rft) = (evaluation("base", 0.4), evaluation("rft", 0.6));
        let (before, after) = (predictions([0.3, 0.4, 0.5]), predictions([0.4, 0.6, 0.8]));
        let from = Side { evaluation: &base, predictions: &before };
        let to = Side { evaluation: &rft, predictions: &after };
        let difference = difference(&from, &to, "miou").unwrap();
        let (low, high) = difference.interval.unwrap();
        assert!((low + 0.048_414).abs() < 1e-5 && (high - 0.448_414).abs() < 1e-5, "{low} {high}");
        assert_eq!(difference.n_paired, 3);
        assert_eq!(difference.verdict(), Verdict::Unclear);
    }

    /// Answers to a question about each of eight pictures, of which some are right.
    fn boxes(right: &[usize]) -> Vec<Prediction> {
        let line = |picture: usize| {
            let from = if right.contains(&picture) { 0 } else { 50 };
            format!(
                r#"{{"sample_id":"s","sample":{picture},"truth":[],"iou":0.3,"counted":{{"picture":{picture},
                    "truth":[{{"category":"cat","bbox":[0,0,10,10],"area":100,"crowd":false}}],
                    "found":[{{"category":"cat","bbox":[{from},0,10,10],"score":0.5}}]}}}}"#
            )
        };
        (0..8).map(|picture| serde_json::from_str(&line(picture)).unwrap()).collect()
    }

    fn with_ap(label: &str, predictions: &[Prediction]) -> Evaluation {
        let questions = predictions.iter().map(|p| p.counted.clone().unwrap());
        let summary = of_questions(&questions.collect::<Vec<_>>()).unwrap().summary();
        let ap = summary.get("AP").unwrap();
        serde_json::from_str(&format!(r#"{{"label":"{label}","n":8,"metrics":{{"ap":{ap}}}}}"#))
            .unwrap()
    }

    #[test]
    fn average_precision_is_compared_over_pictures() {
        let (before, after) = (boxes(&[0, 2]), boxes(&[0, 1, 2, 4, 5, 7]));
        let (base, rft) = (with_ap("base", &before), with_ap("rft", &after));
        let of = |from: &[Prediction], to: &[Prediction]| {
            let from = Side { evaluation: &base, predictions: from };
            difference(&from, &Side { evaluation: &rft, predictions: to }, "ap").unwrap()
        };
        let paired = of(&before, &after);
        let (low, high) = paired.interval.unwrap();
        assert!(0.0 < low && low < paired.delta && paired.delta < high, "{low} {high}");
        assert!(paired.sentence().ends_with("paired over 8 pictures"), "{}", paired.sentence());
        // Answers that the metric is not of, and answers to other questions, prove nothing.
        assert_eq!(of(&after, &after).interval, None);
        assert_eq!(of(&before, &after[..7]).interval, None);
    }

    #[test]
    fn the_same_change_of_every_sample_is_told_as_that() {
        let of = |before: [f64; 3], after: [f64; 3]| {
            let mean = |ious: [f64; 3]| ious.iter().sum::<f64>() / 3.0;
            let (base, rft) = (evaluation("base", mean(before)), evaluation("rft", mean(after)));
            let (before, after) = (predictions(before), predictions(after));
            let from = Side { evaluation: &base, predictions: &before };
            difference(&from, &Side { evaluation: &rft, predictions: &after }, "miou").unwrap()
        };
        let worse = of([1.0; 3], [0.0; 3]);
        assert_eq!(
            worse.sentence(),
            "RFT \u{2212} base: mIoU \u{2212}1.000, the same on each of 3 samples"
        );
        assert_eq!((worse.interval, worse.verdict()), (None, Verdict::Unknown));
        let same = of([0.2, 0.5, 0.8], [0.2, 0.5, 0.8]);
        assert!(same.sentence().ends_with("+0.000, the same on each of 3 samples"), "{same:?}");
        assert_eq!(same.verdict(), Verdict::Unclear);
    }

    #[test]
    fn without_predictions_the_two_intervals_are_combined() {
        let (base, rft) = (evaluation("base", 0.4), evaluation("rft", 0.6));
        let from = Side { evaluation: &base, predictions: &[] };
        let to = Side { evaluation: &rft, predictions: &[] };
        let difference = difference(&from, &to, "miou").unwrap();
        let (low, _) = difference.interval.unwrap();
        assert!((low - (0.2 - 0.03 * 2f64.sqrt())).abs() < 1e-9);
        assert_eq!((difference.n_paired, difference.verdict()), (0, Verdict::Better));
    }
}
