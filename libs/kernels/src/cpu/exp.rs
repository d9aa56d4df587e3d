//! The exponential and what is made of it, in a form that the compiler vectorizes.

use crate::cpu::{LANES, fold_lanes, sum2};

/// e^x with a relative error below 2e-7; saturates outside [-87.3, 88.3], passes NaN on.
///
/// Cody-Waite reduction and the minimax polynomial of the Cephes library. The standard library's
/// `exp` is a call per value, which made it the largest part of a softmax.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    /// 1.5 · 2^23: adding it rounds to an integer, which is then in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let x = x.clamp(-87.3, 88.3);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * LN_2_HIGH - n * LN_2_LOW;
    let mut p = 1.987_569_1e-4;
    for c in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        p = p * r + c;
    }
    let exponent = (shifted.to_bits().wrapping_sub(ROUND.to_bits())).wrapping_add(127);
    (p * r * r + r + 1.0) * f32::from_bits(exponent << 23)
}

/// 1 / (1 + e^-x).
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// Turns every logit into `exp((logit - largest) / temperature)`; returns the largest logit and the sum.
///
/// Either is not finite if the logits are no distribution. A logit too far below the largest gives 0.
pub fn exp_in_place(logits: &mut [f32], temperature: f32) -> (f32, f32) {
    let inverse = 1.0 / temperature;
    crate::cpu::vectorized(
        #[inline(always)]
        || {
            let largest = max(logits);
            for x in logits.iter_mut() {
                let scaled = (*x - largest) * inverse;
                let power = exp(scaled);
                *x = if scaled < -87.0 { 0.0 } else { power };
            }
            (largest, sum2(logits, logits, |x, _| x))
        },
    )
}

/// Turns scores into probabilities; returns log Σ e^score.
#[inline(always)]
pub(crate) fn softmax_row(row: &mut [f32]) -> f32 {
    let max = max(row);
    for x in row.iter_mut() {
        *x = exp(*x - max);
    }
    let sum = sum2(row, row, |x, _| x);
    let scale = 1.0 / sum;
    for x in row.iter_mut() {
        *x *= scale;
    }
    max + sum.ln()
}

/// Largest value, in lanes so that it vectorizes.
#[inline(always)]
pub(crate) fn max(row: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let chunks = row.chunks_exact(LANES);
    let rest = chunks.remainder().iter().copied().fold(f32::NEG_INFINITY, larger);
    for chunk in chunks {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane = larger(*lane, *x);
        }
    }
    larger(fold_lanes(lanes, larger), rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_agrees_with_the_standard_library() {
        for i in -8700..8700 {
            let x = i as f32 * 0.01;
            assert!((exp(x) / x.exp() - 1.0).abs() < 2e-7, "exp({x}) = {}", exp(x));
        }
    }

    #[test]
    fn exp_saturates_and_passes_nan_on() {
        assert!(exp(-1e9) < 1.3e-38 && exp(1e9).is_finite() && exp(f32::NAN).is_nan());
    }

    #[test]
    fn softmax_sums_to_one_and_returns_the_normalizer() {
        let mut row: Vec<f32> = (0..19).map(|i| i as f32).collect();
        let expected = row.iter().map(|x| x.exp()).sum::<f32>().ln();
        assert!((softmax_row(&mut row) - expected).abs() < 1e-5);
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6);
    }
}
