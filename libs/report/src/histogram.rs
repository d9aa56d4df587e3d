//! How the IoU of single images is spread, before and after.

use crate::axis::Axis;
use crate::frame::Frame;
use crate::html::{figure, legend, legend_entry};
use crate::label;
use crate::load::Run;
use crate::prediction::Prediction;

const BINS: usize = 10;

/// The figure; nothing when fewer than two images have an IoU.
pub(crate) fn figure_of(run: &Run) -> String {
    let labels = label::ordered(run.predictions.keys().map(String::as_str));
    let groups: Vec<(String, Vec<f64>)> =
        labels.into_iter().map(|label| (label.clone(), ious(run, &label))).collect();
    let groups: Vec<(String, Vec<f64>)> = groups.into_iter().filter(|(_, v)| v.len() > 1).collect();
    let counts: Vec<[usize; BINS]> = groups.iter().map(|(_, values)| counts(values)).collect();
    let Some(top) = counts.iter().flatten().max() else { return String::new() };
    let x = Axis::exact(0.0, 1.0, 5);
    let frame = Frame::new(360.0, 200.0, x, Axis::values(0.0, *top as f64, 4));
    let bars: String = groups
        .iter()
        .zip(&counts)
        .enumerate()
        .map(|(i, ((label, _), counts))| bars(&frame, label, counts, i, groups.len()))
        .collect();
    let entry = |(label, values): &(String, Vec<f64>)| {
        let good = values.iter().filter(|iou| **iou >= 0.5).count();
        let share = format!("{good} of {} \u{2265} 0.5", values.len());
        legend_entry(label::class(label), &label::display(label), &share)
    };
    let entries: String = groups.iter().map(entry).collect();
    let description = "Number of held-out images by IoU, for each policy";
    let note = "held-out images with something to be found, in each tenth; far left: missed, far right: exact";
    figure("IoU of single images", note, &legend(&entries), &frame.svg(description, "IoU", &bars))
}

fn ious(run: &Run, label: &str) -> Vec<f64> {
    let predictions = run.predictions.get(label).into_iter().flatten();
    predictions.filter_map(Prediction::iou).filter(|iou| (0.0..=1.0).contains(iou)).collect()
}

/// Values per tenth; 1 counts to the last.
fn counts(values: &[f64]) -> [usize; BINS] {
    let mut counts = [0; BINS];
    for value in values {
        counts[((value * BINS as f64) as usize).min(BINS - 1)] += 1;
    }
    counts
}

/// Bars of one policy, beside those of the others.
fn bars(frame: &Frame, label: &str, counts: &[usize; BINS], place: usize, n: usize) -> String {
    let bin = frame.px(1.0 / BINS as f64) - frame.px(0.0);
    let width = (bin - 4.0) / n as f64;
    let bar = |(i, count): (usize, &usize)| {
        let x = frame.px(i as f64 / BINS as f64) + 2.0 + place as f64 * width;
        let y = frame.py(*count as f64);
        format!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\"><title>{} images</title></rect>",
            (width - 0.8).max(1.0),
            frame.bottom() - y,
            count
        )
    };
    let bars: String = counts.iter().enumerate().map(bar).collect();
    format!("<g class=\"solid {}\">{bars}</g>\n", label::class(label))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_with_nothing_to_be_found_are_not_counted() {
        let line = |id: &str, truth: &str, iou: f64| {
            let line =
                format!(r#"{{"sample_id":"{id}","iou":{iou},"truth":{truth},"predicted":[]}}"#);
            serde_json::from_str(&line).unwrap()
        };
        let there = "[[0,0,9,9]]";
        let predictions = vec![
            line("a", there, 0.5),
            line("b", "[]", 0.0),
            line("c", there, 0.25),
            line("d", "[]", 0.0),
        ];
        let predictions = [("rft".to_owned(), predictions)].into();
        let figure = figure_of(&Run { predictions, ..Run::default() });
        assert!(figure.contains("1 of 2 \u{2265} 0.5"), "{figure}");
    }

    #[test]
    fn an_exact_box_counts_to_the_last_tenth() {
        assert_eq!(counts(&[0.0, 0.05, 0.95, 1.0, 0.5]), [2, 0, 0, 0, 0, 1, 0, 0, 0, 2]);
    }
}
