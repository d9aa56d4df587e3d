//! A few steps in the middle of the run, second by second: which node worked on which step.

use crate::axis::Axis;
use crate::html::{escape, figure, legend, legend_entry};
use crate::label;
use crate::load::Run;
use crate::number::duration;
use crate::seconds::STAGES;
use crate::span::{Span, intersection, union};

const WIDTH: f64 = 1080.0;
const LEFT: f64 = 84.0;
const RIGHT: f64 = 8.0;
const ROW: f64 = 24.0;
const GAP: f64 = 12.0;
const TOP: f64 = 10.0;
/// Steps on show: enough to see a rhythm, few enough to read.
const STEPS: u64 = 4;
/// Rows that simultaneous spans of one node may take.
const MAX_ROWS: usize = 4;

/// The figure; nothing without spans.
pub(crate) fn figure_of(run: &Run) -> String {
    let Some(excerpt) = Excerpt::middle(&run.spans) else { return String::new() };
    let window = run.config.as_ref().map(|config| config.learner.window);
    let note = excerpt.note(window);
    let steps =
        (excerpt.first_step..excerpt.first_step.saturating_add(STEPS)).filter(|s| excerpt.has(*s));
    let mut entries: String = steps
        .map(|step| legend_entry(step_class(Some(step)), &format!("step {step}"), ""))
        .collect();
    if !excerpt.overlap().is_empty() {
        entries += &legend_entry("s-overlap", "rollout and learner both busy", "");
    }
    let drawing = format!("<div class=wide>{}</div>", excerpt.svg());
    figure("Timeline", &note, &legend(&entries), &drawing).replacen(
        "class=chart",
        "class=\"chart full\"",
        1,
    )
}

/// The spans of a stretch of the run.
struct Excerpt<'a> {
    spans: Vec<&'a Span>,
    first_step: u64,
    start: f64,
    end: f64,
}

impl<'a> Excerpt<'a> {
    /// A few steps around the middle one of the learner.
    fn middle(spans: &'a [Span]) -> Option<Excerpt<'a>> {
        let mut steps: Vec<u64> =
            spans.iter().filter(|s| s.node == "learner").filter_map(|s| s.step).collect();
        if steps.is_empty() {
            steps = spans.iter().filter_map(|span| span.step).collect();
        }
        steps.sort_unstable();
        steps.dedup();
        let at = (steps.len() / 2).saturating_sub(STEPS as usize / 2);
        let first_step = *steps.get(at)?;
        let shown = first_step..first_step.saturating_add(STEPS);
        let of_steps = || spans.iter().filter(|s| s.step.is_some_and(|step| shown.contains(&step)));
        let start = of_steps().map(|span| span.start).fold(f64::INFINITY, f64::min);
        let end = of_steps().map(|span| span.end).fold(f64::NEG_INFINITY, f64::max);
        let spans = spans.iter().filter(|span| span.end > start && span.start < end).collect();
        Some(Excerpt { spans, first_step, start, end })
    }

    fn has(&self, step: u64) -> bool {
        self.spans.iter().any(|span| span.step == Some(step))
    }

    fn busy(&self, node: &str) -> Vec<(f64, f64)> {
        let working = self.spans.iter().filter(|span| span.node == node && !span.is_wait());
        union(working.map(|s| (s.start.max(self.start), s.end.min(self.end))).collect())
    }

    /// Stretches in which rollout and learner work at the same time.
    fn overlap(&self) -> Vec<(f64, f64)> {
        intersection(&self.busy("rollout"), &self.busy("learner"))
    }

    fn note(&self, window: Option<usize>) -> String {
        let total = self.end - self.start;
        let both: f64 = self.overlap().iter().map(|(start, end)| end - start).sum();
        let window = window.map(|w| format!("window = {w}; ")).unwrap_or_default();
        format!(
            "{STEPS} steps from the middle of the run, {}; {window}rollout and learner were both busy for {:.0} % of it",
            duration(total),
            100.0 * both / total,
        )
    }

    fn svg(&self) -> String {
        let lanes = self.lanes();
        let rows: usize = lanes.iter().map(|lane| lane.rows.len()).sum();
        let bottom = TOP + rows as f64 * ROW + lanes.len() as f64 * GAP;
        let height = bottom + 38.0;
        let mut body = self.grid(bottom);
        for (start, end) in self.overlap() {
            let (x, width) = (self.px(start), self.px(end) - self.px(start));
            body += &format!(
                "<rect class=overlap x=\"{x:.1}\" y=\"{TOP}\" width=\"{width:.1}\" height=\"{:.1}\"/>",
                bottom - TOP
            );
        }
        let mut y = TOP + 0.5 * GAP;
        for lane in &lanes {
            let middle = y + 0.5 * ROW * lane.rows.len() as f64 + 4.0;
            body +=
                &format!("<text class=row x=\"0\" y=\"{middle:.1}\">{}</text>", escape(lane.node));
            for row in &lane.rows {
                body += &row.iter().map(|span| self.bar(span, y)).collect::<String>();
                y += ROW;
            }
            y += GAP;
            body += &format!(
                "<line class=grid x1=\"0\" x2=\"{WIDTH}\" y1=\"{0:.1}\" y2=\"{0:.1}\"/>\n",
                y - 0.5 * GAP
            );
        }
        format!(
            "<svg class=plot viewBox=\"0 0 {WIDTH} {height}\" role=img aria-label=\"Timeline of the nodes\" xmlns=\"http://www.w3.org/2000/svg\">\n{body}</svg>"
        )
    }

    fn grid(&self, bottom: f64) -> String {
        let axis = Axis::exact(self.start, self.end, 10);
        let tick = |(secs, label): &(f64, String)| {
            let x = self.px(*secs);
            format!(
                "<line class=grid x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{bottom:.1}\"/><text class=tick x=\"{x:.1}\" y=\"{:.1}\" text-anchor=middle>{label}</text>\n",
                bottom + 16.0
            )
        };
        let ticks: String = axis.ticks.iter().map(tick).collect();
        let middle = 0.5 * (LEFT + WIDTH - RIGHT);
        ticks
            + &format!(
                "<text class=tick x=\"{middle:.1}\" y=\"{:.1}\" text-anchor=middle>seconds since the start of the run</text>\n",
                bottom + 33.0
            )
    }

    fn bar(&self, span: &Span, y: f64) -> String {
        let (start, end) = (span.start.max(self.start), span.end.min(self.end));
        let (x, width) = (self.px(start), (self.px(end) - self.px(start)).max(1.5));
        let step = span.step.map(|step| format!(", step {step}")).unwrap_or_default();
        let secs = duration(span.end - span.start);
        let title = escape(&format!("{} {}{step}: {secs}", span.node, span.name));
        let class = if span.is_wait() { "idle" } else { step_class(span.step) };
        let text = self.caption(span, width);
        format!(
            "<g class=\"solid span {class}\"><title>{title}</title><rect x=\"{x:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" rx=\"2\"/><text x=\"{:.1}\" y=\"{:.1}\">{}</text></g>\n",
            y + 2.0,
            (width - 0.8).max(1.0),
            ROW - 4.0,
            x + 5.0,
            y + 0.5 * ROW + 4.0,
            escape(&text),
        )
    }

    /// As much of the name as fits into the bar.
    fn caption(&self, span: &Span, width: f64) -> String {
        let fits = |text: &str| 6.4 * text.chars().count() as f64 + 8.0 < width;
        let step = span.step.map(|step| step.to_string()).unwrap_or_default();
        let full = format!("{} {step}", span.name).trim().to_owned();
        [full, span.name.clone(), step].into_iter().find(|text| fits(text)).unwrap_or_default()
    }

    fn px(&self, secs: f64) -> f64 {
        LEFT + (secs - self.start) / (self.end - self.start) * (WIDTH - LEFT - RIGHT)
    }

    /// One lane for each node, in the order of the graph.
    fn lanes(&self) -> Vec<Lane<'a>> {
        let mut nodes: Vec<&str> = self.spans.iter().map(|span| span.node.as_str()).collect();
        let rank = |node: &&str| STAGES.iter().position(|(stage, _)| stage == node).unwrap_or(9);
        nodes.sort_by_key(|node| (rank(node), *node));
        nodes.dedup();
        nodes.into_iter().map(|node| Lane::new(node, &self.spans)).collect()
    }
}

/// The spans of a node in as many rows as run at the same time.
struct Lane<'a> {
    node: &'a str,
    rows: Vec<Vec<&'a Span>>,
}

impl<'a> Lane<'a> {
    fn new(node: &'a str, spans: &[&'a Span]) -> Lane<'a> {
        let mut own: Vec<&Span> = spans.iter().copied().filter(|span| span.node == node).collect();
        // Of nested spans the outer one comes first and takes the upper row.
        own.sort_by(|a, b| a.start.total_cmp(&b.start).then(b.end.total_cmp(&a.end)));
        let mut rows: Vec<Vec<&Span>> = Vec::new();
        for span in own {
            let free =
                |row: &Vec<&Span>| row.last().is_none_or(|last| last.end <= span.start + 1e-4);
            match rows.iter().position(free) {
                Some(place) => rows[place].push(span),
                None if rows.len() < MAX_ROWS => rows.push(vec![span]),
                None => {}
            }
        }
        Lane { node, rows }
    }
}

/// A step has one color in every lane, so that a batch can be followed through the graph.
fn step_class(step: Option<u64>) -> &'static str {
    match step {
        Some(step) => ["s1", "s2", "s3", "s4", "s5"][(step % 5) as usize],
        None => label::class(""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(node: &str, step: u64, start: f64, end: f64) -> Span {
        Span { node: node.into(), name: "work".into(), step: Some(step), start, end }
    }

    #[test]
    fn the_overlap_of_rollout_and_learner_is_measured() {
        let spans: Vec<Span> = (0..10)
            .flat_map(|step| {
                let start = step as f64;
                [
                    span("rollout", step, start, start + 1.0),
                    span("learner", step, start + 1.0, start + 1.5),
                ]
            })
            .collect();
        let excerpt = Excerpt::middle(&spans).unwrap();
        assert_eq!((excerpt.first_step, excerpt.start, excerpt.end), (3, 3.0, 7.5));
        // In 4.5 s the learner is busy five times 0.5 s, always while a rollout runs.
        assert!(
            excerpt
                .note(Some(2))
                .contains("window = 2; rollout and learner were both busy for 56 %")
        );
    }

    #[test]
    fn nested_spans_take_two_rows() {
        let (outer, inner) = (span("a", 1, 0.0, 2.0), span("a", 1, 0.5, 1.0));
        assert_eq!(Lane::new("a", &[&inner, &outer]).rows, [vec![&outer], vec![&inner]]);
    }

    #[test]
    fn a_single_span_makes_a_timeline() {
        let run = Run { spans: vec![span("reward", 7, 1.0, 2.0)], ..Run::default() };
        assert!(figure_of(&run).contains("reward work, step 7: 1.0 s"));
        assert_eq!(figure_of(&Run::default()), "");
    }
}
