//! A moving mean, so that a trend can be seen through noise.

/// Steps that the mean of a curve of `n` points spans; 1 leaves it as it is. Always odd.
pub(crate) fn window(n: usize) -> usize {
    if n < 20 { 1 } else { (n / 10).clamp(5, 101) | 1 }
}

/// Mean over the `window` values around each, near ones weighing more.
///
/// It is the value of the straight line that fits those values best: in the middle of a curve a mean,
/// at its ends, where neighbors are on one side only, not pulled toward the middle.
pub(crate) fn moving_mean(values: &[f64], window: usize) -> Vec<f64> {
    let reach = window / 2;
    (0..values.len())
        .map(|i| {
            // At an end the missing side is made up for by the other.
            let first = i.saturating_sub(reach).min(values.len().saturating_sub(window));
            let last = (first + window).min(values.len());
            fitted(&values[first..last], i - first)
        })
        .collect()
}

/// The weighted least-squares line through values at 0, 1, 2, …, taken at one of them and kept within their range.
fn fitted(values: &[f64], at: usize) -> f64 {
    let (mut weights, mut mean_x, mut mean_y) = (0.0, 0.0, 0.0);
    let widest = at.max(values.len() - 1 - at) as f64 + 1.0;
    let weight = |i: usize| 1.0 - (i as f64 - at as f64).abs() / widest;
    for (i, value) in values.iter().enumerate() {
        weights += weight(i);
        mean_x += weight(i) * (i as f64 - at as f64);
        mean_y += weight(i) * value;
    }
    mean_x /= weights;
    mean_y /= weights;
    let (mut covariance, mut variance) = (0.0, 0.0);
    for (i, value) in values.iter().enumerate() {
        let x = i as f64 - at as f64 - mean_x;
        covariance += weight(i) * x * (value - mean_y);
        variance += weight(i) * x * x;
    }
    let slope = if variance > 0.0 { covariance / variance } else { 0.0 };
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (mean_y - slope * mean_x).clamp(low, high)
}

/// [`moving_mean`] of the second coordinates.
pub(crate) fn smoothed(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let values: Vec<f64> = points.iter().map(|(_, y)| *y).collect();
    let means = moving_mean(&values, window(points.len()));
    points.iter().zip(means).map(|((x, _), mean)| (*x, mean)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_straight_line_stays_straight() {
        let line: Vec<f64> = (0..30).map(f64::from).collect();
        for (mean, value) in moving_mean(&line, 7).iter().zip(&line) {
            assert!((mean - value).abs() < 1e-9, "{mean} instead of {value}");
        }
    }

    #[test]
    fn noise_is_evened_out_to_the_ends() {
        let noise: Vec<f64> = (0..40).map(|i| if i % 2 == 0 { 1.0 } else { -1.0 }).collect();
        assert!(moving_mean(&noise, 9).iter().all(|mean| mean.abs() < 0.45));
    }

    #[test]
    fn few_points_are_left_alone() {
        assert_eq!(window(19), 1);
        assert_eq!(moving_mean(&[1.0, 5.0], 1), [1.0, 5.0]);
        assert!(moving_mean(&[], 5).is_empty());
    }
}
