//! How far a measured number may be from the true one, by resampling what was measured.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Resamples of [`ratio_interval`]; the ends of the interval are then good to about a twentieth of its width.
const N_RESAMPLES: usize = 1000;
/// Fixed, so that the same answers give the same interval.
const SEED: u64 = 0;
/// Probability outside the interval, half of it on either side.
const ALPHA: f64 = 0.05;

/// A 95% interval of `Σ sum / Σ count` over samples drawn with repetition (percentile bootstrap).
///
/// A sample is a sum and how many things it is over, so that an image with three boxes brings all three along.
/// `None` if nothing was counted.
pub fn ratio_interval(samples: &[(f64, f64)]) -> Option<(f64, f64)> {
    let samples: Vec<_> = samples.iter().copied().filter(|sample| sample.1 > 0.0).collect();
    percentile_interval(samples.len(), N_RESAMPLES, |drawn| {
        let (mut sum, mut count) = (0.0, 0.0);
        for &idx in drawn {
            sum += samples[idx].0;
            count += samples[idx].1;
        }
        Some(sum / count)
    })
}

/// A 95% interval of `statistic` over `n` samples drawn with repetition, `n_resamples` times. `statistic` is given the
/// indices that were drawn; resamples for which it is undefined (`None`) are left out. `None` without samples.
pub fn percentile_interval(
    n: usize,
    n_resamples: usize,
    mut statistic: impl FnMut(&[usize]) -> Option<f64>,
) -> Option<(f64, f64)> {
    let [interval] = percentile_intervals(n, n_resamples, |drawn| [statistic(drawn)]);
    interval
}

/// As [`percentile_interval`], of several statistics of the same resamples.
pub fn percentile_intervals<const N: usize>(
    n: usize,
    n_resamples: usize,
    mut statistics: impl FnMut(&[usize]) -> [Option<f64>; N],
) -> [Option<(f64, f64)>; N] {
    let mut values = [const { Vec::new() }; N];
    if n > 0 {
        let mut rng = ChaCha8Rng::seed_from_u64(SEED);
        let mut drawn = vec![0; n];
        for _ in 0..n_resamples {
            drawn.iter_mut().for_each(|idx| *idx = rng.random_range(0..n));
            values.iter_mut().zip(statistics(&drawn)).for_each(|(all, one)| all.extend(one));
        }
    }
    values.map(|mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        let last = values.len().checked_sub(1)?;
        let at = |share: f64| values[(share * last as f64).round() as usize];
        Some((at(ALPHA / 2.0), at(1.0 - ALPHA / 2.0)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_has_the_interval_of_a_binomial() {
        // 100 of 400: 0.25 ± 1.96 · sqrt(0.25 · 0.75 / 400) = 0.25 ± 0.0424.
        let samples: Vec<_> = (0..400).map(|k| (f64::from(u8::from(k % 4 == 0)), 1.0)).collect();
        let (low, high) = ratio_interval(&samples).unwrap();
        assert!((low - 0.2076).abs() < 0.006 && (high - 0.2924).abs() < 0.006, "{low} {high}");
        assert_eq!(ratio_interval(&samples), Some((low, high)));
    }
    #[test]
    fn equal_samples_have_no_spread() {
        assert_eq!(ratio_interval(&[(1.5, 2.0); 9]), Some((0.75, 0.75)));
    }
    #[test]
    fn nothing_counted_has_no_interval() {
        assert_eq!(ratio_interval(&[]), None);
        assert_eq!(ratio_interval(&[(0.0, 0.0)]), None);
        assert_eq!(percentile_interval(3, 10, |_| None), None);
    }
}
