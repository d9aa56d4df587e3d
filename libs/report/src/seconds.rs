//! Where the time of a step went: seconds per stage, stacked, under the wall clock.

use std::collections::BTreeMap;

use crate::axis::Axis;
use crate::frame::Frame;
use crate::html::{figure, legend, legend_entry};
use crate::load::Run;
use crate::number::duration;
use crate::smooth::smoothed;
use crate::teams::Team;

/// The stages of a step in the order of the graph, with their colors.
pub(crate) const STAGES: [(&str, &str); 5] =
    [("loader", "s5"), ("rollout", "s1"), ("reward", "s2"), ("advantage", "s4"), ("learner", "s3")];

/// A figure for each learner that learns from rewards; nothing where no stage was timed.
pub(crate) fn figures(run: &Run) -> String {
    run.teams.reinforced().map(|team| figure_of(run, team)).collect()
}

fn figure_of(run: &Run, team: &Team) -> String {
    let curve = |stage: &str| smoothed(&run.metrics.curve(team, &format!("time/{stage}_secs")));
    let stages: Vec<_> = STAGES.iter().map(|(name, class)| (*name, *class, curve(name))).collect();
    let steps = steps(&stages);
    let (Some(first), Some(last)) = (steps.first(), steps.last()) else { return String::new() };
    let stack = stack(&stages, &steps);
    let wall = curve("step");
    let top = stack.iter().flat_map(|layer| layer.high.iter()).chain(wall.iter().map(|(_, y)| y));
    let top = top.fold(0.0, |a: f64, b| a.max(*b));
    let x = Axis::exact(*first, *last, 6);
    let frame = Frame::new(360.0, 200.0, x, Axis::values(0.0, top, 4));
    let layers: String = stack.iter().map(|layer| layer.svg(&frame, &steps)).collect();
    let line: Vec<String> = wall.iter().map(|point| frame.point(*point)).collect();
    let line = match line.len() {
        0 => String::new(),
        _ => format!("<path class=wall d=\"M{}\"/>", line.join("L")),
    };
    let entries = stack.iter().map(|l| legend_entry(l.class, l.name, &duration(mean(&l.secs))));
    let mut entries: String = entries.collect();
    if !wall.is_empty() {
        let secs: Vec<f64> = wall.iter().map(|(_, y)| *y).collect();
        entries += &legend_entry("s-wall", "step", &duration(mean(&secs)));
    }
    let svg = frame.svg("Seconds per stage over learner steps", "learner step", &(layers + &line));
    let note = "stacked, seconds; where the line of the whole step runs below the stack, stages overlapped";
    let title = run.teams.titled("Seconds of a step", team);
    figure(&title, note, &legend(&entries), &svg)
}

/// One stage: its seconds and the band that it fills.
struct Layer {
    name: &'static str,
    class: &'static str,
    secs: Vec<f64>,
    low: Vec<f64>,
    high: Vec<f64>,
}

impl Layer {
    fn svg(&self, frame: &Frame, steps: &[f64]) -> String {
        let edge = |values: &[f64]| -> Vec<String> {
            steps.iter().zip(values).map(|(x, y)| frame.point((*x, *y))).collect()
        };
        let mut outline = edge(&self.high);
        outline.extend(edge(&self.low).into_iter().rev());
        format!(
            "<path class=\"area {}\" d=\"M{}Z\"><title>{}</title></path>\n",
            self.class,
            outline.join("L"),
            self.name
        )
    }
}

type Stage = (&'static str, &'static str, Vec<(f64, f64)>);

/// Steps at which any stage was timed, few enough to draw.
fn steps(stages: &[Stage]) -> Vec<f64> {
    let mut steps: Vec<f64> =
        stages.iter().flat_map(|(_, _, curve)| curve.iter().map(|(x, _)| *x)).collect();
    steps.sort_by(f64::total_cmp);
    steps.dedup();
    let stride = steps.len().div_ceil(400).max(1);
    steps.into_iter().step_by(stride).collect()
}

/// A stage that missed a step has 0 there: it did not run.
fn stack(stages: &[Stage], steps: &[f64]) -> Vec<Layer> {
    let mut base = vec![0.0; steps.len()];
    let mut layers = Vec::new();
    for (name, class, curve) in stages.iter().filter(|(_, _, curve)| !curve.is_empty()) {
        let by_step: BTreeMap<u64, f64> = curve.iter().map(|(x, y)| (*x as u64, *y)).collect();
        let secs: Vec<f64> =
            steps.iter().map(|x| by_step.get(&(*x as u64)).copied().unwrap_or(0.0)).collect();
        let high: Vec<f64> = base.iter().zip(&secs).map(|(a, b)| a + b).collect();
        let low = std::mem::replace(&mut base, high.clone());
        layers.push(Layer { name, class, secs, low, high });
    }
    layers
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_stand_on_each_other() {
        let stages =
            [("rollout", "s1", vec![(1.0, 2.0), (2.0, 3.0)]), ("learner", "s3", vec![(2.0, 4.0)])];
        let steps = steps(&stages);
        let layers = stack(&stages, &steps);
        assert_eq!(steps, [1.0, 2.0]);
        assert_eq!(layers[1].low, [2.0, 3.0]);
        assert_eq!(layers[1].high, [2.0, 7.0]);
    }
}
