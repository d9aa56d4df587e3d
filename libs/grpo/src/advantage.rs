//! Group-relative advantages: how much better a completion did than its siblings.

use config::{AdvantageConfig, AdvantageScale};

/// `(r - mean) / (std + eps)` over the completions of one prompt.
///
/// `std` is the unbiased one (divided by n - 1), as in TRL. A completion without a finite reward could not be
/// scored: its advantage is 0 and the others are compared without it. Equal rewards, and a reward without a
/// sibling, give zeros: such a group carries no learning signal.
/// [DeepSeekMath](https://arxiv.org/abs/2402.03300), section 4.1.2, "Outcome Supervision RL with GRPO"; with
/// [`AdvantageScale::None`] only the mean is taken off, as in [Dr. GRPO](https://arxiv.org/abs/2503.20783).
pub fn group_advantages(rewards: &[Option<f32>], config: &AdvantageConfig) -> Vec<f32> {
    let rewards: Vec<_> = rewards.iter().map(|r| r.filter(|r| r.is_finite())).collect();
    let scored: Vec<f64> = rewards.iter().flatten().copied().map(f64::from).collect();
    // Rounding in the mean must not make a difference where there is none.
    if scored.iter().all(|r| *r == scored[0]) {
        return vec![0.0; rewards.len()];
    }
    let mean = scored.iter().sum::<f64>() / scored.len() as f64;
    let scale = match config.scale {
        AdvantageScale::Group => 1.0 / (std(&scored, mean) + f64::from(config.eps)),
        AdvantageScale::None => 1.0,
    };
    rewards.iter().map(|r| r.map_or(0.0, |r| ((f64::from(r) - mean) * scale) as f32)).collect()
}

fn std(values: &[f64], mean: f64) -> f64 {
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    (squares / (values.len() - 1) as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_with(config: AdvantageConfig, rewards: &[Option<f32>], expect: &[f32]) {
        let got = group_advantages(rewards, &config);
        let near = got.iter().zip(expect).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(got.len() == expect.len() && near, "{got:?}, not {expect:?}");
    }
    #[track_caller]
    fn check(rewards: &[f32], expect: &[f32]) {
        let rewards: Vec<_> = rewards.iter().copied().map(Some).collect();
        check_with(AdvantageConfig::default(), &rewards, expect);
    }

    #[test]
    fn half_right() {
        // 0.5 / (sqrt(1/3) + 1e-4)
        check(&[1., 0., 0., 1.], &[0.865_875_4, -0.865_875_4, -0.865_875_4, 0.865_875_4]);
    }
    #[test]
    fn all_equal() {
        check(&[0.1; 7], &[0.0; 7]);
    }
    #[test]
    fn alone() {
        check(&[3.0], &[0.0]);
        check(&[], &[]);
    }
    #[test]
    fn unscorable_completions_are_left_out() {
        let third = 0.5 / (0.5f32.sqrt() + 1e-4);
        let rewards = [Some(1.), None, Some(0.), Some(f32::NAN), Some(f32::INFINITY)];
        check_with(AdvantageConfig::default(), &rewards, &[third, 0., -third, 0., 0.]);
    }
    #[test]
    fn nothing_could_be_scored() {
        check_with(AdvantageConfig::default(), &[None, None], &[0., 0.]);
    }
    #[test]
    fn unscaled() {
        let config = AdvantageConfig { scale: AdvantageScale::None, ..AdvantageConfig::default() };
        check_with(config, &[Some(3.), Some(1.), Some(2.)], &[1., -1., 0.]);
    }
    #[test]
    fn a_group_sums_to_zero() {
        let rewards: Vec<_> = (0..16).map(|i| Some((i * i % 7) as f32 * 0.3)).collect();
        let sum: f32 = group_advantages(&rewards, &AdvantageConfig::default()).iter().sum();
        assert!(sum.abs() < 1e-5, "{sum}");
    }
}
