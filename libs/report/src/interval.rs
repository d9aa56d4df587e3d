//! The headline metric of each policy with its confidence interval, one under the other.

use crate::axis::Axis;
use crate::comparison::Comparison;
use crate::evaluation::metric_title;
use crate::html::{escape, figure};
use crate::label;
use crate::number::fixed;

const WIDTH: f64 = 360.0;
/// Room below the drawing for the numbers of the axis, and above it.
const BOTTOM: f64 = 26.0;
const TOP: f64 = 8.0;
/// Least room of a drawing with few policies, and of each policy of many.
const LEAST_HEIGHT: f64 = 166.0;
const LEAST_PITCH: f64 = 34.0;
/// Room at the right for half of a number.
const RIGHT: f64 = 22.0;
/// Room for a letter of a name, as wide as those of a sans-serif font seldom are, and most for a name.
const LETTER: f64 = 7.5;
/// Letters of a name that are shown; names of tasks are as long as somebody made them.
const MOST_LETTERS: usize = 17;

/// The figure; nothing without two policies to compare.
pub(crate) fn figure_of(comparison: &Comparison) -> String {
    let rows: Vec<_> =
        comparison.rows.iter().filter_map(|row| Some((row, (*row.cells.first()?)?))).collect();
    let bounds = rows.iter().map(|(_, cell)| cell.interval.unwrap_or((cell.value, cell.value)));
    let low = bounds.clone().map(|(low, _)| low).fold(f64::INFINITY, f64::min);
    let high = bounds.map(|(_, high)| high).fold(f64::NEG_INFINITY, f64::max);
    if rows.len() < 2 {
        return String::new();
    }
    let axis = Axis::values(low, high, 5);
    let pitch = LEAST_PITCH.max(LEAST_HEIGHT / rows.len() as f64);
    let height = TOP + pitch * rows.len() as f64 + BOTTOM;
    let names: Vec<String> = rows.iter().map(|(row, _)| shortened(&row.label)).collect();
    let letters = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let left = LETTER * letters as f64 + RIGHT;
    let x = |value: f64| left + axis.share(value) * (WIDTH - RIGHT - left);
    let mut svg = String::new();
    for (value, label) in &axis.ticks {
        let (x, y) = (x(*value), height - BOTTOM);
        svg += &format!(
            "<line class=grid x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{y:.1}\"/><text class=tick x=\"{x:.1}\" y=\"{:.1}\" text-anchor=middle>{label}</text>\n",
            y + 16.0
        );
    }
    for (i, (row, cell)) in rows.iter().enumerate() {
        let y = TOP + pitch * (i as f64 + 0.6);
        let (low, high) = cell.interval.unwrap_or((cell.value, cell.value));
        svg += &format!(
            "<text class=row x=\"0\" y=\"{:.1}\">{}</text><g class=\"{}\"><path class=range d=\"M{:.1},{y:.1}H{:.1}\"/><circle class=dot cx=\"{:.1}\" cy=\"{y:.1}\" r=\"6\"/></g><text class=value x=\"{:.1}\" y=\"{:.1}\" text-anchor=middle>{}</text>\n",
            y + 4.0,
            escape(&names[i]),
            label::class(&row.label),
            x(low),
            x(high),
            x(cell.value),
            x(cell.value),
            y - 12.0,
            fixed(cell.value),
        );
    }
    let title = escape(metric_title(comparison.metrics.first().map_or("", String::as_str)));
    let drawing = format!(
        "<svg class=plot viewBox=\"0 0 {WIDTH} {height}\" role=img aria-label=\"{title} of each policy with its confidence interval\" xmlns=\"http://www.w3.org/2000/svg\">\n{svg}</svg>"
    );
    figure(
        &format!("{title} on the held-out data"),
        "value and 95 % confidence interval",
        "",
        &drawing,
    )
}

fn shortened(label: &str) -> String {
    let name = label::display(label);
    if name.chars().count() <= MOST_LETTERS {
        return name;
    }
    name.chars().take(MOST_LETTERS - 1).chain(['\u{2026}']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Run;

    /// The numbers behind an attribute of the drawing, in its order.
    fn numbers(svg: &str, before: &str) -> Vec<f64> {
        let parts = svg.split(before).skip(1);
        parts.map(|part| part.split('"').next().unwrap().parse().unwrap()).collect()
    }

    #[test]
    fn all_names_and_numbers_lie_within_the_drawing_and_beside_each_other() {
        let labels =
            ["base", "sft", "rft", "constant", "base@counting", "rft@a-task-with-a-long-name"];
        let line = |label: &str| {
            let line = format!(
                r#"{{"label":"{label}","n":9,"metrics":{{"miou":0.9999,"miou_ci_low":0.0,"miou_ci_high":1.0}}}}"#
            );
            serde_json::from_str(&line).unwrap()
        };
        let evaluations = labels.map(line).into();
        let svg = figure_of(&Comparison::new(&Run { evaluations, ..Run::default() }));
        let [height] = numbers(&svg, "viewBox=\"0 0 360 ")[..] else { panic!("{svg}") };
        let values = numbers(&svg, "class=value x=\"");
        assert_eq!(values.len(), labels.len());
        // Half of a number is some 17 pixels wide.
        assert!(values.iter().all(|x| (17.0..=343.0).contains(x)), "{values:?}");
        let baselines: Vec<f64> = svg
            .split("class=value ")
            .skip(1)
            .map(|part| {
                part.split("y=\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap()
            })
            .collect();
        assert!(baselines.iter().all(|y| (12.0..height).contains(y)), "{baselines:?} of {height}");
        assert!(baselines.windows(2).all(|pair| pair[1] - pair[0] > 30.0), "{baselines:?}");
        // The longest name ends before the first number of the axis.
        let longest = LETTER * MOST_LETTERS as f64;
        assert!(numbers(&svg, "class=tick x=\"").iter().all(|x| *x > longest), "{svg}");
        assert!(svg.contains("rft@a-task-with-\u{2026}"), "{svg}");
    }
}
