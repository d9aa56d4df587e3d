//! A few steps in the middle of the run, second by second: which node worked on which step.

use std::collections::{BTreeMap, BTreeSet};

use crate::axis::Axis;
use crate::html::{escape, figure, legend, legend_entry};
use crate::label;
use crate::load::Run;
use crate::number::{count, duration};
use crate::seconds::STAGES;
use crate::span::{Span, intersection, union};
use crate::teams::{Team, Teams};

const WIDTH: f64 = 1080.0;
const LEFT: f64 = 84.0;
const RIGHT: f64 = 8.0;
const ROW: f64 = 24.0;
const GAP: f64 = 12.0;
const TOP: f64 = 10.0;
/// Steps on show: enough to see a rhythm, few enough to read.
const STEPS: usize = 4;
/// Rows that simultaneous spans of one node may take.
const MAX_ROWS: usize = 4;

/// A figure for each learner that learns from rewards, or for the others where there is none; nothing without spans.
pub(crate) fn figures(run: &Run) -> String {
    let figures: String = run.teams.reinforced().map(|team| figure_of(run, team)).collect();
    if !figures.is_empty() {
        return figures;
    }
    run.teams.supervised().map(|team| figure_of(run, team)).collect()
}

fn figure_of(run: &Run, team: &Team) -> String {
    let Some(excerpt) = Excerpt::middle(&run.spans, team, &run.teams) else { return String::new() };
    let window = run.config.as_ref().map(|config| config.learner.window);
    let note = excerpt.note(window);
    let steps = excerpt.steps.iter();
    let mut entries: String = steps
        .map(|step| legend_entry(step_class(Some(*step)), &format!("step {step}"), ""))
        .collect();
    if !excerpt.overlap().is_empty() {
        entries += &legend_entry("s-overlap", "rollout and learner both busy", "");
    }
    let drawing = format!("<div class=wide>{}</div>", excerpt.svg());
    let title = run.teams.titled("Timeline", team);
    figure(&title, &note, &legend(&entries), &drawing).replacen(
        "class=chart",
        "class=\"chart full\"",
        1,
    )
}

/// The spans of a stretch of the run.
struct Excerpt<'a> {
    spans: Vec<&'a Span>,
    /// The learner's steps on show.
    steps: Vec<u64>,
    /// Steps of other learners have numbers of their own, which say nothing of these.
    team: &'a Team,
    teams: &'a Teams,
    start: f64,
    end: f64,
}

impl<'a> Excerpt<'a> {
    /// A few steps around the middle one of a learner, in the session that has most of its steps: what came before a
    /// resume has another clock.
    fn middle(spans: &'a [Span], team: &'a Team, teams: &'a Teams) -> Option<Excerpt<'a>> {
        let session = busiest_session(spans, team)?;
        let spans = || spans.iter().filter(|span| span.session == session);
        let own = || spans().filter(|span| team.has(&span.node));
        let of_learner: Vec<u64> =
            own().filter(|span| span.node == team.learner).filter_map(|span| span.step).collect();
        let mut steps =
            if of_learner.is_empty() { own().filter_map(|s| s.step).collect() } else { of_learner };
        steps.sort_unstable();
        steps.dedup();
        let at = (steps.len() / 2).saturating_sub(STEPS / 2);
        let steps: Vec<u64> = steps.into_iter().skip(at).take(STEPS).collect();
        let shown = || own().filter(|span| span.step.is_some_and(|step| steps.contains(&step)));
        let start = shown().map(|span| span.start).fold(f64::INFINITY, f64::min);
        let end = shown().map(|span| span.end).fold(f64::NEG_INFINITY, f64::max);
        if steps.is_empty() {
            return None;
        }
        let spans = spans().filter(|span| span.end > start && span.start < end).collect();
        Some(Excerpt { spans, steps, team, teams, start, end })
    }

    /// When nodes that do this for the learner were busy.
    fn busy(&self, stage: &str) -> Vec<(f64, f64)> {
        let working = self.spans.iter().filter(|span| {
            self.team.has(&span.node) && self.teams.stage(&span.node) == stage && !span.is_wait()
        });
        union(working.map(|s| (s.start.max(self.start), s.end.min(self.end))).collect())
    }

    /// Stretches in which rollout and learner work at the same time.
    fn overlap(&self) -> Vec<(f64, f64)> {
        intersection(&self.busy("rollout"), &self.busy("learner"))
    }

    fn note(&self, window: Option<usize>) -> String {
        let total = self.end - self.start;
        // A sum of nothing is a negative zero.
        let both = self.overlap().iter().map(|(start, end)| end - start).sum::<f64>() + 0.0;
        let window = window.map(|w| format!("window = {w}; ")).unwrap_or_default();
        let share = 100.0 * both / total;
        let mut note = format!(
            "{} from the middle of the run, {}; {window}",
            count(self.steps.len(), "step"),
            duration(total),
        );
        if !self.busy("rollout").is_empty() {
            note += &format!("rollout and learner were both busy for {share:.0} % of it");
        }
        note.trim_end_matches("; ").to_owned()
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
                "<text class=tick x=\"{middle:.1}\" y=\"{:.1}\" text-anchor=middle>seconds since the start of the run, or since it was resumed</text>\n",
                bottom + 33.0
            )
    }

    fn bar(&self, span: &Span, y: f64) -> String {
        let (start, end) = (span.start.max(self.start), span.end.min(self.end));
        let (x, width) = (self.px(start), (self.px(end) - self.px(start)).max(1.5));
        let step = span.step.map(|step| format!(", step {step}")).unwrap_or_default();
        let secs = duration(span.end - span.start);
        let title = escape(&format!("{} {}{step}: {secs}", span.node, span.name));
        let is_own = self.team.has(&span.node);
        let class = if span.is_wait() || !is_own { "idle" } else { step_class(span.step) };
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
        let rank = |node: &&str| {
            let stage = self.teams.stage(node);
            let rank = STAGES.iter().position(|(known, _)| *known == stage);
            (!self.team.has(node), rank.unwrap_or(STAGES.len()))
        };
        nodes.sort_by_key(|node| (rank(node), *node));
        nodes.dedup();
        nodes.into_iter().map(|node| Lane::new(node, &self.spans)).collect()
    }
}

/// The session in which most steps of a learner were, of equals the last.
fn busiest_session(spans: &[Span], team: &Team) -> Option<usize> {
    let mut steps: BTreeMap<usize, BTreeSet<u64>> = BTreeMap::new();
    for span in spans.iter().filter(|span| team.has(&span.node)) {
        if let Some(step) = span.step {
            steps.entry(span.session).or_default().insert(step);
        }
    }
    steps.into_iter().max_by_key(|(_, steps)| steps.len()).map(|(session, _)| session)
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
        let node = node.to_owned();
        let name = "work".to_owned();
        Span { node, name, step: Some(step), session: 1, start, end }
    }

    /// A learner with its rollout, and a supervised one beside it.
    fn teams() -> Teams {
        let text = r#"[
            {"id":"answers","executable":"vrft-rollout","learners":["policy"]},
            {"id":"policy","executable":"vrft-learner","is_learner":true,"learners":["policy"]},
            {"id":"shown","executable":"vrft-learner","role":"sft","is_learner":true,"learners":["shown"]}]"#;
        Teams::new(serde_json::from_str(text).unwrap(), &crate::metrics::Metrics::default())
    }

    /// Ten steps of a second each, the learner's half after the rollout's whole.
    fn ten_steps() -> impl Iterator<Item = Span> {
        (0..10).flat_map(|step| {
            let start = step as f64;
            [
                span("answers", step, start, start + 1.0),
                span("policy", step, start + 1.0, start + 1.5),
            ]
        })
    }

    #[track_caller]
    fn check(spans: &[Span], steps: &[u64], start: f64, end: f64) {
        let teams = teams();
        let excerpt = Excerpt::middle(spans, teams.of("policy").unwrap(), &teams).unwrap();
        assert_eq!((&excerpt.steps[..], excerpt.start, excerpt.end), (steps, start, end));
    }

    #[test]
    fn the_overlap_of_rollout_and_learner_is_measured() {
        let spans: Vec<Span> = ten_steps().collect();
        check(&spans, &[3, 4, 5, 6], 3.0, 7.5);
        let teams = teams();
        let excerpt = Excerpt::middle(&spans, teams.of("policy").unwrap(), &teams).unwrap();
        // In 4.5 s the learner is busy five times 0.5 s, always while a rollout runs.
        let note = excerpt.note(Some(2));
        assert!(note.starts_with("4 steps from the middle of the run"), "{note}");
        assert!(note.contains("window = 2; rollout and learner were both busy for 56 %"), "{note}");
    }

    #[test]
    fn steps_of_another_learner_do_not_stretch_it() {
        // The same numbers, at other times.
        let shown =
            (0..10).map(|step| span("shown", step, 100.0 * step as f64, 100.0 * step as f64 + 9.0));
        check(&ten_steps().chain(shown).collect::<Vec<_>>(), &[3, 4, 5, 6], 3.0, 7.5);
    }

    #[test]
    fn what_was_before_a_resume_does_not_overlay_it() {
        // Three steps and a part of the fourth were done before, by another clock.
        let before = (0..3).map(|step| Span { session: 0, ..span("policy", step, 2.0, 50.0) });
        check(&before.chain(ten_steps()).collect::<Vec<_>>(), &[3, 4, 5, 6], 3.0, 7.5);
    }

    #[test]
    fn nested_spans_take_two_rows() {
        let (outer, inner) = (span("a", 1, 0.0, 2.0), span("a", 1, 0.5, 1.0));
        assert_eq!(Lane::new("a", &[&inner, &outer]).rows, [vec![&outer], vec![&inner]]);
    }

    #[test]
    fn a_single_span_makes_a_timeline() {
        let spans = vec![span("answers", 7, 1.0, 2.0)];
        let run = Run { spans, teams: teams(), ..Run::default() };
        let figure = figures(&run);
        assert!(figure.contains("answers work, step 7: 1.0 s"), "{figure}");
        assert!(figure.contains("1 step from the middle of the run"), "{figure}");
        assert_eq!(figures(&Run { teams: teams(), ..Run::default() }), "");
    }
}
