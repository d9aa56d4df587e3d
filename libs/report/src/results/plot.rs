//! The first metric over shots, one line for each method.

use std::collections::BTreeSet;

use super::{ResultRow, Results};
use crate::chart::{Line, LineChart, LineStyle};
use crate::label;

/// Room of the drawing in pixels.
const SIZE: (f64, f64) = (560.0, 300.0);

impl Results {
    /// The drawing; `None` where nothing was learned from a number of shots.
    ///
    /// Shots are evenly spaced: they usually double. A method without training is a dashed level.
    pub(super) fn plot(&self) -> Option<(String, Vec<(String, String)>)> {
        let metric = self.head.metrics.first()?;
        let shots: BTreeSet<usize> = self.rows.iter().filter_map(|row| row.shots).collect();
        let shots: Vec<usize> = shots.into_iter().collect();
        let names: Vec<String> = shots.iter().map(ToString::to_string).collect();
        if names.is_empty() {
            return None;
        }
        let labels = label::ordered(self.rows.iter().map(|row| row.label.as_str()));
        let mut lines: Vec<Line> =
            labels.iter().map(|label| self.line(label, metric, &shots)).collect();
        spread(&mut lines);
        let legend = lines.iter().filter(|line| !line.points.is_empty());
        let legend = legend.map(|line| (line.name.clone(), line.class.clone())).collect();
        let chart =
            LineChart { title: "Shots", note: "", x_title: "shots", x_names: Some(&names), lines };
        Some((chart.svg(SIZE.0, SIZE.1)?, legend))
    }

    fn line(&self, name: &str, metric: &str, shots: &[usize]) -> Line {
        let scale = if self.head.is_percent { 100.0 } else { 1.0 };
        let rows: Vec<&ResultRow> = self.rows.iter().filter(|row| row.label == name).collect();
        let is_level = rows.iter().all(|row| row.shots.is_none());
        let mut points = Vec::new();
        let mut intervals = Vec::new();
        for row in rows {
            let Some(cell) = row.metrics.get(metric) else { continue };
            let place = shots.iter().position(|shots| Some(*shots) == row.shots).unwrap_or(0);
            let (x, mean) = (place as f64, scale * cell.mean);
            points.push((x, mean));
            intervals
                .extend(cell.half_width.map(|half| (x, mean - scale * half, mean + scale * half)));
        }
        Line {
            style: if is_level { LineStyle::Level } else { LineStyle::Marked },
            intervals,
            ..Line::curve(&label::display(name), label::class(name), points)
        }
    }
}

/// Moves the methods a little to the left and right, so that no interval covers another.
fn spread(lines: &mut [Line]) {
    let mut trained: Vec<&mut Line> =
        lines.iter_mut().filter(|line| line.style == LineStyle::Marked).collect();
    let middle = (trained.len() as f64 - 1.0) / 2.0;
    for (i, line) in trained.iter_mut().enumerate() {
        let shift = 0.07 * (i as f64 - middle);
        line.points.iter_mut().for_each(|(x, _)| *x += shift);
        line.intervals.iter_mut().for_each(|(x, _, _)| *x += shift);
    }
}
