//! Student's t: how far the mean of a few runs may be from the truth.

use std::f64::consts::{FRAC_2_PI, FRAC_PI_2};

/// Numbers between 0 and 1 that were computed in different ways differ by less than this where they are equal.
const ROUNDING: f64 = 1e-12;

/// Mean of the values and half the width of its 95 % confidence interval, `t · s / √n`.
///
/// `s` is the unbiased standard deviation. One value has no interval, nor have equal ones: that a few values are equal does
/// not say that the next will be. No value has no mean.
pub fn mean_interval(values: &[f64]) -> Option<(f64, Option<f64>)> {
    let n = values.len();
    if n == 0 {
        return None;
    }
    let mean = values.iter().sum::<f64>() / n as f64;
    if n == 1 {
        return Some((mean, None));
    }
    let (low, high) = values.iter().fold((values[0], values[0]), |(low, high), value| {
        (f64::min(low, *value), f64::max(high, *value))
    });
    if high - low <= ROUNDING {
        return Some((mean, None));
    }
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1) as f64;
    Some((mean, Some(student_t_975(n - 1) * (variance / n as f64).sqrt())))
}

/// The 97.5 % quantile of Student's t distribution; it has at least 1 degree of freedom.
///
/// Solved by bisection over the angle `θ = atan(t / √ν)`, in which the distribution is a finite series
/// (Abramowitz and Stegun, 26.7.3 and 26.7.4).
pub fn student_t_975(degrees: usize) -> f64 {
    let degrees = degrees.max(1);
    let (mut low, mut high) = (0.0, FRAC_PI_2);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if central_probability(middle, degrees) < 0.95 {
            low = middle;
        } else {
            high = middle;
        }
    }
    low.tan() * (degrees as f64).sqrt()
}

/// Probability of |t| below `√ν · tan θ`.
fn central_probability(theta: f64, degrees: usize) -> f64 {
    let (sin, cos) = theta.sin_cos();
    let odd = degrees % 2 == 1;
    // The factors are 2/3, 4/5, … for odd and 1/2, 3/4, … for even degrees of freedom.
    let (first, n_terms) = if odd { (cos, (degrees - 1) / 2) } else { (1.0, degrees / 2) };
    let mut term = first;
    let mut sum = 0.0;
    for k in 0..n_terms {
        sum += term;
        let upper = (2 * k + if odd { 2 } else { 1 }) as f64;
        term *= cos * cos * upper / (upper + 1.0);
    }
    if odd { FRAC_2_PI * (theta + sin * sum) } else { sin * sum }
}

#[cfg(test)]
mod tests {
    use super::*;

    /* scipy.stats.t.ppf(0.975, [1, 2, 3, 4, 9, 30, 159]) */
    #[test]
    fn quantiles_are_those_of_the_tables() {
        let known = [
            (1, 12.706205),
            (2, 4.302653),
            (3, 3.182446),
            (4, 2.776445),
            (9, 2.262157),
            (30, 2.042272),
        ];
        for (degrees, expected) in known {
            let got = student_t_975(degrees);
            assert!((got - expected).abs() < 1e-5, "{degrees}: {got} instead of {expected}");
        }
    }

    #[test]
    fn many_degrees_approach_the_normal_quantile() {
        assert!((student_t_975(100_000) - 1.959_964).abs() < 1e-4);
    }

    /* Three seeds 0.50, 0.54, 0.58: s = 0.04, 4.302653 * 0.04 / sqrt(3) = 0.099366 */
    #[test]
    fn three_seeds_have_a_wide_interval() {
        let (mean, half) = mean_interval(&[0.50, 0.54, 0.58]).unwrap();
        assert!((mean - 0.54).abs() < 1e-12);
        assert!((half.unwrap() - 0.099_366).abs() < 1e-6);
    }

    #[test]
    fn equal_seeds_have_no_interval() {
        assert_eq!(mean_interval(&[0.5, 0.5]), Some((0.5, None)));
        // 0.6 − 0.5 and 0.3 − 0.2 are the same number but for rounding.
        assert_eq!(mean_interval(&[0.6 - 0.5, 0.3 - 0.2]).map(|(_, half)| half), Some(None));
        assert!(mean_interval(&[0.5, 0.5001]).is_some_and(|(_, half)| half.is_some()));
    }

    #[test]
    fn one_seed_has_no_interval() {
        assert_eq!(mean_interval(&[0.5]), Some((0.5, None)));
        assert_eq!(mean_interval(&[]), None);
    }
}
