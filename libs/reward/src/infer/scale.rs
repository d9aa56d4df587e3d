//! How far off an answer may be: the scales of a proposed reward, from the examples.

use super::MAX_ODD;
use crate::answers::Example;
use crate::config::RewardConfig;
use crate::geometry::{Geometry, Space};
use crate::terms::{Metric, Ratio, Shape, TermConfig};

/// Distance at which proposed points have nothing in common any more, as a share of the picture's sides.
const POINT_SCALE: f64 = 0.05;
/// Where 0 would earn so much of what is paid for the true numbers, all above 0, these are judged by their ratio.
const MAX_FOR_ZERO: f64 = 0.45;
/// From here on whole numbers beside each other are one to a computer, and differ by shares alone; the share that counts.
const LARGE: f64 = (1_u64 << 53) as f64;
const SHARE_OF_LARGE: f64 = 0.01;
/// Whole numbers of which half are up to this are counts, and wrong where they are off by two; others are amounts.
const MOST_COUNTED: f64 = 100.0;
/// Sides of pictures of unknown size, and the least distance, in pixels: a person does not point better.
const USUAL_SIDE: f64 = 640.0;
const LEAST_PIXELS: f64 = 4.0;

/// Mean side of the pictures whose sizes are known, in pixels.
pub(super) fn mean_side(examples: &[Example]) -> Option<f64> {
    let sides: Vec<f64> = examples.iter().filter_map(|e| e.size).flatten().map(f64::from).collect();
    (!sides.is_empty()).then(|| sides.iter().sum::<f64>() / sides.len() as f64)
}

/// The scale that distances of points are measured by: where coordinates count pixels, it depends on the size of the
/// pictures. That of other answers stays as it is.
pub(super) fn point_scale(reward: &RewardConfig, side: Option<f64>) -> f64 {
    let answer = &reward.answer;
    match (answer.kind.geometry(), answer.space()) {
        (Some(Geometry::Point), Some(Space::Pixels)) => {
            (POINT_SCALE * side.unwrap_or(USUAL_SIDE)).max(LEAST_PIXELS).round()
        }
        (Some(Geometry::Point), _) => POINT_SCALE,
        _ => reward.matching.scale,
    }
}

/// A proposed task with its coordinates in another space; `side` is the mean side of the pictures in pixels of it, if it
/// counts pixels.
pub fn proposed_in(reward: RewardConfig, space: Space, side: Option<f64>) -> RewardConfig {
    let mut reward = RewardConfig { answer: reward.answer.in_space(space), ..reward };
    reward.matching.scale = point_scale(&reward, side);
    reward
}

/// Nothing is earned for a number that is off by a quarter of what all are spread over: where counts are 0 to 2, the same
/// answer to every question would earn half of it all otherwise. Where numbers are spread over powers of ten, 0 would be as
/// near to most of them: there their ratio is what counts.
pub(super) fn scale(reward: &mut RewardConfig, numbers: &[f64]) {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (Some(least), Some(most)) = (sorted.first(), sorted.last()) else { return };
    // A few that are far from all others say nothing of how far these are spread.
    let tail = MAX_ODD * (sorted.len() - 1) as f64;
    let (low, high) = (sorted[tail as usize], sorted[sorted.len() - 1 - tail as usize]);
    let spread = if low < high { high - low } else { most - least };
    let quarter = spread / 4.0;
    let middle = sorted[sorted.len() / 2];
    let are_whole = sorted.iter().all(|number| number.fract() == 0.0);
    let are_counts = are_whole && middle <= MOST_COUNTED;
    let ratio = (high / low).powf(0.25);
    if !are_counts && *least > 0.0 && ratio > 1.0 && for_zero(&sorted, quarter) > MAX_FOR_ZERO {
        return judge_by_ratio(reward, ratio);
    }
    let quarter =
        if middle.abs() < LARGE { quarter } else { quarter.max(SHARE_OF_LARGE * middle.abs()) };
    for term in reward.terms.values_mut() {
        if let Metric::Closeness(closeness) = &mut term.metric {
            let scale = if are_counts { quarter.clamp(1.0, closeness.scale) } else { quarter };
            if scale > 0.0 {
                closeness.scale = scale;
            }
        }
    }
}

/// What 0 would earn on average if nothing were earned for an error of `scale`, equal numbers counted once.
fn for_zero(sorted: &[f64], scale: f64) -> f64 {
    let mut distinct = sorted.to_vec();
    distinct.dedup();
    let earned = distinct.iter().map(|number| (1.0 - number.abs() / scale).max(0.0));
    earned.sum::<f64>() / distinct.len() as f64
}

/// Takes the ratio to the true number in place of the distance from it.
fn judge_by_ratio(reward: &mut RewardConfig, scale: f64) {
    let is_near = |term: &TermConfig| matches!(term.metric, Metric::Closeness(_));
    let near = reward.terms.iter().find(|(_, term)| is_near(term)).map(|(name, _)| name.clone());
    if let Some(near) = near {
        reward.terms.remove(&near);
        let metric = Metric::Ratio(Ratio { scale, shape: Shape::Linear });
        reward.terms.insert(metric.name().to_owned(), TermConfig::of(metric));
    }
}

/// Points in space earn nothing from a quarter of what they are spread over on, and are compared at all up to as far as
/// they are spread, since nothing else says in which unit they are.
pub(super) fn scale_in_space(reward: &mut RewardConfig, points: &[[f64; 3]]) {
    let n = points.len().max(1) as f64;
    let mean = |axis: usize| points.iter().map(|point| point[axis]).sum::<f64>() / n;
    let middle = [mean(0), mean(1), mean(2)];
    let from_middle = |point: &[f64; 3]| {
        point.iter().zip(middle).map(|(value, middle)| (value - middle).powi(2)).sum::<f64>()
    };
    let spread = (points.iter().map(from_middle).sum::<f64>() / n).sqrt();
    if spread == 0.0 {
        return;
    }
    reward.matching.scale = 2.0 * spread;
    for term in reward.terms.values_mut() {
        if let Metric::Distance(distance) = &mut term.metric {
            distance.scale = spread / 2.0;
        }
    }
}
