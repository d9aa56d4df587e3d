//! The comparison as part of the page: table, differences in words.

use crate::comparison::{Comparison, ComparisonCell, ComparisonRow};
use crate::evaluation::metric_title;
use crate::html::escape;
use crate::label;
use crate::number::{fixed, signed};

/// The table and the differences below it; nothing without an evaluation.
pub(crate) fn table(comparison: &Comparison) -> String {
    if comparison.rows.is_empty() {
        return String::new();
    }
    let titles = comparison
        .metrics
        .iter()
        .map(|name| format!("<th scope=col>{}</th>", escape(metric_title(name))));
    let head: String = titles.collect();
    let rows: String = comparison.rows.iter().map(row).collect();
    let differences = comparison.differences.iter();
    let sentences: String =
        differences.map(|d| format!("<li>{}</li>", escape(&d.sentence()))).collect();
    let sentences = if sentences.is_empty() {
        sentences
    } else {
        format!("<ul class=differences>{sentences}</ul>\n")
    };
    format!(
        "<div class=scroll><table>\n<thead><tr><th scope=col>policy</th><th scope=col>learner step</th>{head}</tr></thead>\n<tbody>{rows}</tbody></table></div>\n{sentences}"
    )
}

fn row(row: &ComparisonRow) -> String {
    let cells: String = row.cells.iter().map(cell).collect();
    format!(
        "<tr class={}><th scope=row><i class=swatch></i>{}</th><td>{}</td>{cells}</tr>\n",
        label::class(&row.label),
        escape(&label::display(&row.label)),
        row.policy_version,
    )
}

fn cell(cell: &Option<ComparisonCell>) -> String {
    let Some(cell) = cell else { return "<td>\u{2013}</td>".to_owned() };
    let interval = |(low, high)| format!("<small>{}\u{2013}{}</small>", fixed(low), fixed(high));
    let interval = cell.interval.map(interval).unwrap_or_default();
    let delta = |delta: f64| {
        let direction = match delta {
            _ if delta >= 5e-4 => "up",
            _ if delta <= -5e-4 => "down",
            _ => "same",
        };
        format!(" <span class={direction}>{}</span>", signed(delta))
    };
    let delta = cell.delta.map(delta).unwrap_or_default();
    format!("<td><b>{}</b>{delta}{interval}</td>", fixed(cell.value))
}
