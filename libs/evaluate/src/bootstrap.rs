//! How far a measured mean may be from the true one, by resampling what was measured.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Resamples; the ends of the interval are then good to about a twentieth of its width.
const N_RESAMPLES: usize = 1000;
/// Fixed: the same answers give the same interval.
const SEED: u64 = 0;
/// Probability outside the interval, half of it on either side.
const ALPHA: f64 = 0.05;

/// A 95% interval of `Σ sum / Σ count` over samples drawn with repetition (percentile bootstrap).
///
/// A sample is a sum and how many things it is over, so that an image with three boxes brings all three along.
/// `None` if nothing was counted.
pub fn ratio_interval(samples: &[(f64, f64)]) -> Option<(f64, f64)> {
    let samples: Vec<_> = samples.iter().copied().filter(|sample| sample.1 > 0.0).collect();
    if samples.is_empty() {
        return None;
    }
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let mut means: Vec<f64> = (0..N_RESAMPLES).map(|_| resampled(&samples, &mut rng)).collect();
    means.sort_by(f64::total_cmp);
    let at = |share: f64| means[(share * (N_RESAMPLES - 1) as f64).round() as usize];
    Some((at(ALPHA / 2.0), at(1.0 - ALPHA / 2.0)))
}

fn resampled(samples: &[(f64, f64)], rng: &mut ChaCha8Rng) -> f64 {
    let (mut sum, mut count) = (0.0, 0.0);
    for _ in samples {
        let sample = samples[rng.random_range(0..samples.len())];
        sum += sample.0;
        count += sample.1;
    }
    sum / count
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
    fn nothing_counted() {
        assert_eq!(ratio_interval(&[]), None);
        assert_eq!(ratio_interval(&[(0.0, 0.0)]), None);
    }
}
