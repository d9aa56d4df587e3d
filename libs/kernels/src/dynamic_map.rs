//! The 256 values between -1 and 1 that 8 bits stand for.
//!
//! Dynamic tree quantization of [8-bit Optimizers via Block-wise Quantization](https://arxiv.org/abs/2110.02861),
//! section 1.3: seven decades, each cut evenly into twice as many values as the one below it, so that small numbers
//! keep their size and large ones their digits. Golden numbers come from `bitsandbytes` (`tests/golden/make_map.py`).

use std::sync::LazyLock;

const DECADES: i32 = 7;

/// For numbers of either sign.
pub static SIGNED: LazyLock<DynamicMap> = LazyLock::new(|| DynamicMap::new(true));
/// For numbers that are not negative.
pub static UNSIGNED: LazyLock<DynamicMap> = LazyLock::new(|| DynamicMap::new(false));

/// Values by their code, ascending.
#[derive(Debug)]
pub struct DynamicMap {
    values: [f32; 256],
    /// Above the `i`-th, code `i + 1` is nearer than code `i`.
    borders: [f32; 255],
}

impl DynamicMap {
    fn new(signed: bool) -> Self {
        let mut values = vec![0.0, 1.0];
        for decade in 0..DECADES {
            let n = 1 << if signed { decade } else { decade + 1 };
            let largest = 10f64.powi(decade - DECADES + 1);
            for i in 0..n {
                let value = largest * (0.1 + 0.9 * (f64::from(i) + 0.5) / f64::from(n));
                values.push(value);
                if signed {
                    values.push(-value);
                }
            }
        }
        values.sort_by(f64::total_cmp);
        let mut borders = std::array::from_fn(|i| ((values[i] + values[i + 1]) / 2.0) as f32);
        if !signed {
            // Only zero becomes zero: what is divided by the root of a second moment must not blow up
            // (the zero point problem of arXiv 2309.01507).
            borders[0] = 0.0;
        }
        Self { values: std::array::from_fn(|i| values[i] as f32), borders }
    }

    /// What a code stands for.
    #[inline(always)]
    pub fn value(&self, code: u8) -> f32 {
        self.values[usize::from(code)]
    }

    /// The values and behind them the borders between them, filled up to as many.
    #[cfg(feature = "cuda")]
    pub fn table(&self) -> Vec<f32> {
        [&self.values[..], &self.borders, &[f32::INFINITY]].concat()
    }

    /// The code of the nearest value: the number of borders below it, found by halves without a branch.
    #[inline(always)]
    pub fn code(&self, value: f32) -> u8 {
        let mut code = 0;
        for half in [128, 64, 32, 16, 8, 4, 2, 1] {
            code += half * usize::from(self.borders[code + half - 1] < value);
        }
        code as u8
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    /// What `make_map.py` wrote.
    #[derive(Deserialize)]
    struct Golden {
        signed: Vec<f32>,
        unsigned: Vec<f32>,
    }

    #[test]
    fn the_values_are_those_of_bitsandbytes() {
        let golden: Golden =
            serde_json::from_str(include_str!("../tests/golden/dynamic_map.json")).unwrap();
        for (map, expected) in [(&SIGNED, golden.signed), (&UNSIGNED, golden.unsigned)] {
            let far =
                map.values.iter().zip(&expected).map(|(a, b)| (a - b).abs() / b.abs().max(1e-9));
            assert!(expected.len() == 256 && far.fold(0.0, f32::max) < 1e-5);
        }
    }

    #[test]
    fn every_value_is_its_own_nearest() {
        for map in [&SIGNED, &UNSIGNED] {
            assert!((0..=255).all(|code| map.code(map.value(code)) == code));
        }
    }

    #[test]
    fn the_nearest_is_the_nearest() {
        for i in -1000..=1000 {
            let x = i as f32 / 1000.0;
            let off = (SIGNED.value(SIGNED.code(x)) - x).abs();
            let least = SIGNED.values.iter().map(|value| (value - x).abs()).fold(2.0, f32::min);
            assert!(off <= least + 1e-7, "{x} is off by {off}, could be {least}");
        }
    }

    #[test]
    fn a_second_moment_becomes_zero_only_if_it_is() {
        assert_eq!(UNSIGNED.value(UNSIGNED.code(0.0)), 0.0);
        assert!(UNSIGNED.value(UNSIGNED.code(1e-30)) > 0.0);
    }
}
