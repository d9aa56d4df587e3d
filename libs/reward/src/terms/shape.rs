//! How likeness becomes reward.

use serde::{Deserialize, Serialize};

use crate::config::{ConfigError, ensure};

/// How likeness, from 0 to 1, becomes reward.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shape {
    /// The likeness counts as it is.
    #[default]
    Linear,
    /// The value to the power of α.
    Power(f64),
    /// 0 below the first, 1 from the second on, as it is between.
    Ramp([f64; 2]),
    /// 1 from this on, else 0.
    Step(f64),
    /// Plus this, for pairs.
    Shift(f64),
    /// A mirrored sigmoid of the squared error that sharpens during training.
    Snra(Snra),
}

impl Shape {
    /// Whether a key has the value that stands for nothing. Earlier versions wrote a shape for metrics that have none.
    pub(crate) fn is_nothing(key: &str, value: &toml::Value) -> bool {
        key == "shape" && value.as_str() == Some("linear")
    }
}

/// 2 / (1 + exp(k e²)), k = k0 + (k1 - k0) σ(steep (t - tau)) at share t of the training.
///
/// The Smooth Numerical Reward Activation (SNRA) of AP-GRPO (arXiv 2601.07695), from what its abstract and others' reports of
/// it say, since its equations were not available: a mirrored sigmoid takes squared errors to rewards in [0, 1], and its
/// sharpness k grows during the training, from 1 on. That it grows along a sigmoid, and these defaults, are those of a
/// program that others published; the paper reports that a last k of some hundreds makes rewards sparse.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Snra {
    /// Sharpness at the start.
    pub k0: f64,
    /// Sharpness in the end.
    pub k1: f64,
    /// Share of the training at which it is half way.
    pub tau: f64,
    /// How abruptly it changes.
    pub steep: f64,
}

impl Default for Snra {
    fn default() -> Self {
        Self { k0: 1.0, k1: 15.0, tau: 0.6, steep: 8.0 }
    }
}

impl Shape {
    /// The reward of a likeness from 0 to 1.
    pub(super) fn reward(&self, likeness: f64, progress: f64) -> f64 {
        match *self {
            Shape::Linear => likeness,
            Shape::Power(alpha) => likeness.max(0.0).powf(alpha),
            Shape::Ramp([low, _]) if likeness < low => 0.0,
            Shape::Ramp([_, high]) if likeness >= high => 1.0,
            Shape::Ramp(_) => likeness,
            Shape::Step(from) => f64::from(u8::from(likeness >= from)),
            Shape::Shift(by) => likeness + by,
            Shape::Snra(ref snra) => snra.reward(1.0 - likeness, progress),
        }
    }

    /// The reward of an error, 0 or above, whose unit is 1.
    pub(super) fn reward_of_error(&self, error: f64, progress: f64) -> f64 {
        match self {
            Shape::Snra(snra) => snra.reward(error, progress),
            other => other.reward((1.0 - error).max(0.0), progress),
        }
    }

    /// Refuses numbers that make no sense; `at` is the path of the term.
    pub(super) fn check(&self, at: &str) -> Result<(), ConfigError> {
        let fine = match self {
            Shape::Linear | Shape::Shift(_) => true,
            Shape::Power(alpha) => *alpha > 0.0 && alpha.is_finite(),
            Shape::Step(from) => (0.0..=1.0).contains(from),
            Shape::Ramp([low, high]) => 0.0 <= *low && low <= high && *high <= 1.0,
            Shape::Snra(snra) => snra.k0 > 0.0 && snra.k1 >= snra.k0 && snra.k1.is_finite(),
        };
        ensure(fine, &format!("{at}.shape"), format!("{self:?}"), || {
            "power above 0, step in [0, 1], ramp rising within [0, 1], or snra with 0 < k0 ≤ k1"
                .into()
        })
    }
}

impl Snra {
    /// The reward of an error, 0 or above, whose unit is 1.
    fn reward(&self, error: f64, progress: f64) -> f64 {
        let late = 1.0 / (1.0 + (-self.steep * (progress - self.tau)).exp());
        let k = self.k0 + (self.k1 - self.k0) * late;
        2.0 / (1.0 + (k * error * error).exp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(shape: Shape, likeness: f64, expect: f64) {
        let got = shape.reward(likeness, 0.0);
        assert!((got - expect).abs() < 1e-12, "{shape:?} of {likeness} is {got}");
    }

    #[test]
    fn shapes() {
        check(Shape::Linear, 0.3, 0.3);
        check(Shape::Power(2.0), 0.5, 0.25);
        check(Shape::Step(0.5), 0.5, 1.0);
        check(Shape::Step(0.5), 0.49, 0.0);
        check(Shape::Shift(1.0), -0.5, 0.5);
    }
    #[test]
    fn a_ramp_keeps_its_ends() {
        check(Shape::Ramp([0.5, 0.75]), 0.49, 0.0);
        check(Shape::Ramp([0.5, 0.75]), 0.5, 0.5);
        check(Shape::Ramp([0.5, 0.75]), 0.75, 1.0);
    }
    #[test]
    fn snra_sharpens_during_training() {
        let snra = Snra::default();
        // k(0) = 1 + 14 σ(-4.8), k(1) = 1 + 14 σ(3.2).
        for (progress, k) in
            [(0.0, 1.0 + 14.0 * 0.008162571153159899), (1.0, 1.0 + 14.0 * 0.9608342772032357)]
        {
            let expect = 2.0 / (1.0 + f64::exp(k * 0.25));
            assert!((snra.reward(0.5, progress) - expect).abs() < 1e-9);
        }
        assert_eq!(snra.reward(0.0, 0.3), 1.0);
        assert_eq!(snra.reward(1e9, 0.3), 0.0);
    }
}
