//! Means and deviations of those that could be scored.

use super::Values;

pub(super) fn scored(values: &Values) -> Vec<f64> {
    values.iter().flatten().copied().collect()
}

pub(super) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The unbiased standard deviation; 0 for fewer than two values, and exactly 0 for equal ones.
pub(super) fn std(values: &[f64]) -> f64 {
    if values.len() < 2 || all_equal(values) {
        return 0.0;
    }
    let mean = mean(values);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (squares / (values.len() - 1) as f64).sqrt()
}

/// Rounding in a mean must not make a difference where there is none.
pub(super) fn all_equal(values: &[f64]) -> bool {
    values.iter().all(|value| *value == values[0])
}

pub(super) fn reciprocal(std: f64, eps: f32) -> f64 {
    1.0 / (std + f64::from(eps))
}

/// `(v - mean) / (std + eps)` over the values of all groups.
pub(super) fn whitened(groups: Vec<Values>, eps: f32) -> Vec<Values> {
    let all: Vec<f64> = groups.iter().flat_map(scored).collect();
    let mean = mean(&all);
    let scale = reciprocal(std(&all), eps);
    let of_group = |values: Values| {
        values.into_iter().map(|value| value.map(|value| (value - mean) * scale)).collect()
    };
    groups.into_iter().map(of_group).collect()
}
