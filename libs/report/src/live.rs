//! What a robot answered while it learned: how well that agreed with the true boxes, and how fast it came.

use std::path::Path;

use crate::ReportError;
use crate::chart::{Line, LineChart, LineStyle};
use crate::html::{escape, section};
use crate::load::Run;
use crate::number::{count, fixed};
use crate::page::grid;

/// Most versions whose interval is drawn; of more, some at equal distances and the last.
const MAX_BARS: usize = 30;

/// How well the answers of a node agreed with the true boxes when it used a version of the policy.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Overlap {
    version: f64,
    mean: f64,
    /// The 95 % confidence interval of the mean; `None` where all answers are worth the same.
    interval: Option<(f64, f64)>,
    /// Answers that the mean is over.
    n: usize,
}

/// The charts of all nodes that answered; nothing without one.
pub(crate) fn section_of(run: &Run) -> String {
    let nodes = run.metrics.nodes_with("live/");
    let figures: String = nodes.iter().map(|node| figures(run, node, nodes.len() > 1)).collect();
    let lines = summary(run).into_iter().map(|line| format!(" {}", escape(&line)));
    let intro = format!(
        "What the policy said of frames while it was learning.{}",
        lines.collect::<String>()
    );
    section("live", "Live answers", &intro, &grid(&figures))
}

/// How good the live answers of a run were, a sentence for each node that answered and was measured.
///
/// # Errors
/// A run folder that cannot be read.
pub fn live_answers(run_dir: &Path) -> Result<Vec<String>, ReportError> {
    Ok(summary(&Run::load(run_dir)?))
}

fn summary(run: &Run) -> Vec<String> {
    let nodes = run.metrics.nodes_with("live/overlap");
    let of_node = |node: &String| {
        let overlaps = overlaps(run, node);
        let (first, last) = (overlaps.first()?, overlaps.last()?);
        let name = if nodes.len() > 1 { format!(" of {node}") } else { String::new() };
        let began = if first.version < last.version {
            format!("; began at {}", told(first))
        } else {
            String::new()
        };
        Some(format!("Live answers{name}: overlap {}{began}.", told(last)))
    };
    nodes.iter().filter_map(of_node).collect()
}

/// `0.512 (95 % CI 0.480–0.544, 200 answers)`.
fn told(overlap: &Overlap) -> String {
    let n = count(overlap.n, "answer");
    let spread = match overlap.interval {
        Some((low, high)) => format!("95 % CI {}\u{2013}{}, {n}", fixed(low), fixed(high)),
        None if overlap.n > 1 => format!("the same for each of {n}"),
        None => n,
    };
    format!("{} ({spread})", fixed(overlap.mean))
}

fn overlaps(run: &Run, node: &str) -> Vec<Overlap> {
    let at = |curve: &[(f64, f64)], version: f64| {
        curve.iter().find(|(found, _)| *found == version).map(|(_, value)| *value)
    };
    let of = |name: &str| run.metrics.curve_of(node, name);
    let (low, high, scored) = (of("live/overlap_low"), of("live/overlap_high"), of("live/scored"));
    let overlap = |(version, mean): (f64, f64)| Overlap {
        version,
        mean,
        interval: at(&low, version).zip(at(&high, version)).filter(|(low, high)| low < high),
        n: at(&scored, version).unwrap_or(0.0) as usize,
    };
    of("live/overlap").into_iter().map(overlap).collect()
}

fn figures(run: &Run, node: &str, is_one_of_several: bool) -> String {
    let titled = |title: &str| {
        if is_one_of_several { format!("{title}: {}", escape(node)) } else { title.to_owned() }
    };
    let figure = |title: &str, note: &str, lines: Vec<Line>| {
        let title = titled(title);
        LineChart { title: &title, note, x_title: "policy version", x_names: None, lines }.figure()
    };
    let overlaps = overlaps(run, node);
    let points = overlaps.iter().map(|overlap| (overlap.version, overlap.mean)).collect();
    let stride = overlaps.len().div_ceil(MAX_BARS).max(1);
    let last = overlaps.len().saturating_sub(1);
    let shown = overlaps.iter().enumerate().filter(|(n, _)| (last - n).is_multiple_of(stride));
    let bar = |(_, overlap): (usize, &Overlap)| {
        overlap.interval.map(|(low, high)| (overlap.version, low, high))
    };
    let overlap = Line {
        style: LineStyle::Marked,
        intervals: shown.filter_map(bar).collect(),
        ..Line::curve("overlap", "s-rft", points)
    };
    let curve = |name: &str, metric: &str| {
        vec![Line::curve(name, "s1", run.metrics.curve_of(node, metric))]
    };
    let note = "with the true boxes, mean of the newest answers; bars: 95 % confidence";
    figure("Overlap of live answers", note, vec![overlap])
        + &figure("Latency of live answers", "seconds", curve("latency", "live/latency_secs"))
        + &figure("Live answers", "in a second", curve("answers", "live/answers_per_sec"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    fn run(values: &[(u64, f64, f64, f64)]) -> Run {
        let line = |step: &u64, name: &str, value: f64| {
            let line = format!(
                r#"{{"step":{step},"name":"live/{name}","value":{value},"at":1.0,"node":"answer"}}"#
            );
            serde_json::from_str(&line).unwrap()
        };
        let of = |(step, mean, low, high): &(u64, f64, f64, f64)| {
            let named = [
                ("overlap", *mean),
                ("overlap_low", *low),
                ("overlap_high", *high),
                ("scored", 40.0),
            ];
            named.map(|(name, value)| line(step, name, value))
        };
        let metrics = Metrics::new(values.iter().flat_map(of).collect());
        Run { metrics, ..Run::default() }
    }

    #[test]
    fn the_overlap_of_live_answers_is_told_with_its_interval_and_drawn() {
        let run = run(&[(0, 0.25, 0.2, 0.3), (5, 0.5, 0.45, 0.55)]);
        let expected = "Live answers: overlap 0.500 (95 % CI 0.450\u{2013}0.550, 40 answers); \
                        began at 0.250 (95 % CI 0.200\u{2013}0.300, 40 answers).";
        assert_eq!(summary(&run), [expected]);
        let html = section_of(&run);
        assert!(
            html.contains("Overlap of live answers") && html.contains("0.25 \u{2192} 0.50"),
            "{html}"
        );
        assert!(html.contains("0.450\u{2013}0.550"), "{html}");
    }

    #[test]
    fn answers_that_are_all_worth_the_same_have_no_interval() {
        let run = run(&[(3, 0.0, 0.0, 0.0)]);
        assert_eq!(
            summary(&run),
            ["Live answers: overlap 0.000 (the same for each of 40 answers)."]
        );
    }

    #[test]
    fn a_run_without_a_robot_has_no_such_section() {
        assert_eq!(section_of(&Run::default()), "");
    }
}
