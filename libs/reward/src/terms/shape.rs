//! How likeness becomes reward.

use crate::config::{Shape, Snra};

/// The reward of a likeness from 0 to 1.
pub(super) fn reward(shape: &Shape, likeness: f64, progress: f64) -> f64 {
    match *shape {
        Shape::Linear => likeness,
        Shape::Power(alpha) => likeness.max(0.0).powf(alpha),
        Shape::Ramp([low, _]) if likeness < low => 0.0,
        Shape::Ramp([_, high]) if likeness >= high => 1.0,
        Shape::Ramp(_) => likeness,
        Shape::Step(from) => f64::from(u8::from(likeness >= from)),
        Shape::Shift(by) => likeness + by,
        Shape::Snra(ref snra) => sigmoid(snra, 1.0 - likeness, progress),
    }
}

/// The reward of an error, 0 or above, whose unit is 1.
pub(super) fn reward_of_error(shape: &Shape, error: f64, progress: f64) -> f64 {
    match shape {
        Shape::Snra(snra) => sigmoid(snra, error, progress),
        other => reward(other, (1.0 - error).max(0.0), progress),
    }
}

/// 2 / (1 + exp(k e²)), see [`Snra`].
fn sigmoid(snra: &Snra, error: f64, progress: f64) -> f64 {
    let late = 1.0 / (1.0 + (-snra.steep * (progress - snra.tau)).exp());
    let k = snra.k0 + (snra.k1 - snra.k0) * late;
    2.0 / (1.0 + (k * error * error).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(shape: Shape, likeness: f64, expect: f64) {
        let got = reward(&shape, likeness, 0.0);
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
            assert!((sigmoid(&snra, 0.5, progress) - expect).abs() < 1e-9);
        }
        assert_eq!(sigmoid(&snra, 0.0, 0.3), 1.0);
        assert_eq!(sigmoid(&snra, 1e9, 0.3), 0.0);
    }
}
