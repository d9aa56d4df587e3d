//! The headline metric of each policy with its confidence interval, one under the other.

use crate::axis::Axis;
use crate::comparison::Comparison;
use crate::evaluation::metric_title;
use crate::html::{escape, figure};
use crate::label;
use crate::number::fixed;

const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 200.0;
const BOTTOM: f64 = 26.0;
const LEFT: f64 = 48.0;

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
    let pitch = (HEIGHT - BOTTOM - 8.0) / rows.len() as f64;
    let x = |value: f64| LEFT + axis.share(value) * (WIDTH - 16.0 - LEFT);
    let mut svg = String::new();
    for (value, label) in &axis.ticks {
        let (x, y) = (x(*value), HEIGHT - BOTTOM);
        svg += &format!(
            "<line class=grid x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"8\" y2=\"{y:.1}\"/><text class=tick x=\"{x:.1}\" y=\"{:.1}\" text-anchor=middle>{label}</text>\n",
            y + 16.0
        );
    }
    for (i, (row, cell)) in rows.iter().enumerate() {
        let y = 8.0 + pitch * (i as f64 + 0.6);
        let (low, high) = cell.interval.unwrap_or((cell.value, cell.value));
        svg += &format!(
            "<text class=row x=\"0\" y=\"{:.1}\">{}</text><g class=\"{}\"><path class=range d=\"M{:.1},{y:.1}H{:.1}\"/><circle class=dot cx=\"{:.1}\" cy=\"{y:.1}\" r=\"6\"/></g><text class=value x=\"{:.1}\" y=\"{:.1}\" text-anchor=middle>{}</text>\n",
            y + 4.0,
            escape(&label::display(&row.label)),
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
        "<svg class=plot viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=img aria-label=\"{title} of each policy with its confidence interval\" xmlns=\"http://www.w3.org/2000/svg\">\n{svg}</svg>"
    );
    figure(
        &format!("{title} on the held-out data"),
        "value and 95 % confidence interval",
        "",
        &drawing,
    )
}
