//! Line charts as SVG: a smoothed line over faint raw points, intervals, reference lines.

use crate::axis::Axis;
use crate::frame::Frame;
use crate::html::{figure, legend, legend_entry};
use crate::number::short;
use crate::smooth::smoothed;

/// More raw points than this only make the page heavy.
const MAX_POINTS: usize = 1500;

/// How a line is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LineStyle {
    /// Raw points faint, their moving mean strong.
    Smoothed,
    /// Every point marked and joined.
    Marked,
    /// A level to compare with: dashed from side to side.
    Level,
}

/// One line of a chart.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) class: String,
    pub(crate) style: LineStyle,
    pub(crate) points: Vec<(f64, f64)>,
    /// `(x, low, high)` of confidence intervals.
    pub(crate) intervals: Vec<(f64, f64, f64)>,
}

impl Line {
    /// A curve over steps.
    pub(crate) fn curve(name: &str, class: &str, points: Vec<(f64, f64)>) -> Line {
        Line {
            name: name.to_owned(),
            class: class.to_owned(),
            style: LineStyle::Smoothed,
            points,
            intervals: Vec::new(),
        }
    }

    fn y_values(&self) -> impl Iterator<Item = f64> {
        let bounds = self.intervals.iter().flat_map(|(_, low, high)| [*low, *high]);
        self.points.iter().map(|(_, y)| *y).chain(bounds)
    }

    fn svg(&self, frame: &Frame) -> String {
        let class = &self.class;
        match self.style {
            LineStyle::Smoothed => {
                let dots = dots(frame, &self.points);
                let line = path(frame, &smoothed(&self.points));
                format!(
                    "<g class=\"{class}\"><path class=\"raw\" d=\"{dots}\"/><path class=\"line\" d=\"{line}\"/></g>\n"
                )
            }
            LineStyle::Marked => {
                let (bars, line) = (bars(frame, &self.intervals), path(frame, &self.points));
                let marks = dots(frame, &self.points);
                format!(
                    "<g class=\"{class}\"><path class=\"bar\" d=\"{bars}\"/><path class=\"line\" d=\"{line}\"/><path class=\"mark\" d=\"{marks}\"/></g>\n"
                )
            }
            LineStyle::Level => {
                let level = self.points.first().map_or(0.0, |(_, y)| *y);
                let line = path(frame, &[(frame.x.low, level), (frame.x.high, level)]);
                format!("<g class=\"{class}\"><path class=\"level\" d=\"{line}\"/></g>\n")
            }
        }
    }

    /// First and last value of the drawn line, for legend and description.
    fn ends(&self) -> String {
        let drawn = match self.style {
            LineStyle::Smoothed => smoothed(&self.points),
            LineStyle::Marked | LineStyle::Level => self.points.clone(),
        };
        match (drawn.first(), drawn.last()) {
            (Some(first), Some(last)) if drawn.len() > 1 && self.style != LineStyle::Level => {
                format!("{} \u{2192} {}", short(first.1), short(last.1))
            }
            (Some(first), _) => short(first.1),
            _ => String::new(),
        }
    }
}

/// A chart of lines over a common axis.
#[derive(Debug)]
pub(crate) struct LineChart<'a> {
    /// Title of the figure. It is written in this crate, so it may hold markup.
    pub(crate) title: &'a str,
    /// Unit and way of computing, in a few words; may hold markup too.
    pub(crate) note: &'a str,
    pub(crate) x_title: &'a str,
    /// Names in place of numbers on the x axis.
    pub(crate) x_names: Option<&'a [String]>,
    pub(crate) lines: Vec<Line>,
}

impl LineChart<'_> {
    /// The figure; nothing if no line has a point.
    pub(crate) fn figure(&self) -> String {
        let Some(svg) = self.svg(360.0, 200.0) else { return String::new() };
        let lines = self.lines.iter().filter(|line| !line.points.is_empty());
        let entries: String =
            lines.map(|line| legend_entry(&line.class, &line.name, &line.ends())).collect();
        figure(self.title, self.note, &legend(&entries), &svg)
    }

    /// The drawing alone.
    pub(crate) fn svg(&self, width: f64, height: f64) -> Option<String> {
        let x = self.lines.iter().filter(|line| line.style != LineStyle::Level);
        let (x_low, x_high) = range(x.flat_map(|line| line.points.iter().map(|(x, _)| *x)))
            .or_else(|| range(self.lines.iter().flat_map(|l| l.points.iter().map(|p| p.0))))?;
        let (low, high) = range(self.lines.iter().flat_map(Line::y_values))?;
        let x = match self.x_names {
            Some(names) => Axis::named(names),
            None => Axis::exact(x_low, x_high, 6),
        };
        let frame = Frame::new(width, height, x, Axis::values(low, high, 4));
        let body: String =
            self.lines.iter().filter(|l| !l.points.is_empty()).map(|l| l.svg(&frame)).collect();
        let ends = self.lines.iter().map(|line| format!("{} {}", line.name, line.ends()));
        let description = format!(
            "{} over {}: {}",
            self.title,
            self.x_title,
            ends.collect::<Vec<_>>().join("; ")
        );
        Some(frame.svg(&description, self.x_title, &body))
    }
}

/// Least and greatest of the values.
fn range(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.fold(None, |range, value| match range {
        None => Some((value, value)),
        Some((low, high)) => Some((f64::min(low, value), f64::max(high, value))),
    })
}

/// Every n-th point, and always the last.
fn thinned(points: &[(f64, f64)]) -> impl Iterator<Item = (f64, f64)> + '_ {
    let stride = points.len().div_ceil(MAX_POINTS).max(1);
    let last = points.len().saturating_sub(1);
    let kept = points.iter().enumerate().filter(move |(i, _)| i % stride == 0 || *i == last);
    kept.map(|(_, point)| *point)
}

fn path(frame: &Frame, points: &[(f64, f64)]) -> String {
    let points: Vec<String> = thinned(points).map(|point| frame.point(point)).collect();
    format!("M{}", points.join("L"))
}

/// Points as strokes without length, which a round line end turns into dots: the shortest markup there is.
fn dots(frame: &Frame, points: &[(f64, f64)]) -> String {
    thinned(points).map(|point| format!("M{}h0", frame.point(point))).collect()
}

fn bars(frame: &Frame, intervals: &[(f64, f64, f64)]) -> String {
    let bar = |(x, low, high): &(f64, f64, f64)| {
        let (x, low, high) = (frame.px(*x), frame.py(*low), frame.py(*high));
        let (left, right) = (x - 3.0, x + 3.0);
        format!(
            "M{x:.1},{low:.1}V{high:.1}M{left:.1},{low:.1}H{right:.1}M{left:.1},{high:.1}H{right:.1}"
        )
    };
    intervals.iter().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: Vec<(f64, f64)>) -> LineChart<'static> {
        let lines = vec![Line::curve("<b>", "s1", points)];
        LineChart { title: "Reward", note: "", x_title: "step", x_names: None, lines }
    }

    #[test]
    fn a_chart_without_points_is_not_drawn() {
        assert_eq!(chart(Vec::new()).figure(), "");
    }

    #[test]
    fn a_single_point_is_drawn() {
        let figure = chart(vec![(1.0, 0.5)]).figure();
        assert!(figure.contains("<svg") && !figure.contains("NaN"), "{figure}");
    }

    #[test]
    fn the_legend_tells_where_a_line_begins_and_ends() {
        let figure = chart(vec![(1.0, 0.25), (2.0, 0.5)]).figure();
        assert!(figure.contains("&lt;b&gt; <b>0.25 \u{2192} 0.50</b>"), "{figure}");
    }

    #[test]
    fn a_long_curve_is_thinned() {
        let curve: Vec<(f64, f64)> = (0..100_000).map(|i| (f64::from(i), 1.0)).collect();
        let points: Vec<_> = thinned(&curve).collect();
        assert!(points.len() <= MAX_POINTS + 1);
        assert_eq!(points.last(), curve.last());
    }
}
