//! Chance that can be had again: bits that depend on what they are for and on nothing else.

use half::bf16;

/// Noise for the values of one moment from some place on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Noise {
    /// What the bits depend on besides a value's place; none for rounding to the nearest.
    key: Option<u32>,
    start: u32,
}

impl Noise {
    /// No chance: halves go up.
    pub(crate) fn none() -> Self {
        Self { key: None, start: 0 }
    }

    /// For values from place `start` on.
    pub(crate) fn new(key: u32, start: usize) -> Self {
        Self { key: Some(key), start: start as u32 }
    }

    /// The bfloat16 above or below, the nearer one more often, so that the mean is the value itself; `i` counts
    /// from the start.
    #[inline(always)]
    pub(crate) fn round(self, value: f32, i: u32) -> bf16 {
        let chance = match self.key {
            Some(key) => mix(self.start.wrapping_add(i).wrapping_mul(0x9e37_79b9) ^ key) >> 16,
            None => 0x8000,
        };
        let bits = value.to_bits();
        let rounded = if value.is_finite() { bits.wrapping_add(chance) } else { bits };
        bf16::from_bits((rounded >> 16) as u16)
    }
}

/// A key for a name and a number.
pub(crate) fn key(name: &str, number: u64) -> u32 {
    let hash = name
        .bytes()
        .fold(0x811c_9dc5u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    mix(mix(hash ^ number as u32) ^ (number >> 32) as u32)
}

/// Spreads a change of any bit over all: `lowbias32` of Chris Wellons' hash prospector.
#[inline(always)]
fn mix(mut x: u32) -> u32 {
    x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d);
    x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
    x ^ (x >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_chance_the_nearest_is_taken() {
        for value in [1.0, 1.003, 1.005, -2.7, 1e-30, 0.0] {
            assert_eq!(Noise::none().round(value, 0), bf16::from_f32(value));
        }
    }

    #[test]
    fn what_is_not_finite_stays() {
        let noise = Noise::new(1, 0);
        assert_eq!(noise.round(f32::INFINITY, 0), bf16::INFINITY);
        assert!(noise.round(f32::NAN, 0).is_nan());
    }

    #[test]
    fn keys_differ_by_name_and_by_number() {
        assert_ne!(key("a", 1), key("b", 1));
        assert_ne!(key("a", 1), key("a", 2));
        assert_eq!(key("a", 1), key("a", 1));
    }
}
