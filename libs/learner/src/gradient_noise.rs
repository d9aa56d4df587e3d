//! How much of a gradient is signal and how much is the noise of its few prompts.
//!
//! After "An Empirical Model of Large-Batch Training" (arXiv 1812.06162, appendix A.1): of gradients that are means over n
//! groups, the expected square of the norm is `|G|² + tr(Σ) / n`. Two sizes that a step has anyway, its first micro-batch and
//! all of it, give both parts. Their ratio `tr(Σ) / |G|²` is the gradient noise scale: with fewer groups a step than that,
//! noise is most of it. Both estimates can be negative, so they are to be averaged over steps before they are divided.

/// Both parts as one step sees them, for gradients that are means over groups.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct GradientNoise {
    /// Estimate of `|G|²`, the square of the norm of the gradient that all groups there are would give.
    pub(crate) signal: f64,
    /// Estimate of `tr(Σ)`, the sum of the variances that single groups' gradients have.
    pub(crate) noise: f64,
}

impl GradientNoise {
    /// From groups and norm of the gradient's sum after a part of the step, and after all of it; `None` if the part is all.
    ///
    /// The weights of a step's groups add up to 1, so the sum over all is their mean already, and that over a part is a mean
    /// after it is divided by its share. Groups that were left out for having no gradient do not count.
    pub(crate) fn new(part: (usize, f64), all: (usize, f64)) -> Option<Self> {
        let (n_part, n_all) = (part.0 as f64, all.0 as f64);
        if part.0 == 0 || part.0 >= all.0 {
            return None;
        }
        let of_part = (part.1 * n_all / n_part).powi(2);
        let of_all = all.1.powi(2);
        let signal = (n_all * of_all - n_part * of_part) / (n_all - n_part);
        let noise = (of_part - of_all) / (1.0 / n_part - 1.0 / n_all);
        Some(Self { signal, noise })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All 2⁴ draws of groups whose gradients are the one number 0.5 or 1.5, each as likely: mean 1, variance 1/4.
    #[test]
    fn the_estimates_are_right_on_average() {
        let (mut signal, mut noise) = (0.0, 0.0);
        for draw in 0..16 {
            let group = |i: usize| if draw >> i & 1 == 1 { 1.5 } else { 0.5 };
            let norm = |n: usize| (0..n).map(|i| group(i) / 4.0).sum::<f64>();
            let step = GradientNoise::new((3, norm(3)), (4, norm(4))).unwrap();
            signal += step.signal / 16.0;
            noise += step.noise / 16.0;
        }
        assert!((signal - 1.0).abs() < 1e-12, "{signal}");
        assert!((noise - 0.25).abs() < 1e-12, "{noise}");
    }

    #[test]
    fn equal_groups_have_no_noise() {
        let step = GradientNoise::new((2, 0.5), (8, 2.0)).unwrap();
        assert!((step.signal - 4.0).abs() < 1e-12 && step.noise.abs() < 1e-12);
    }

    #[test]
    fn a_step_of_one_part_says_nothing() {
        assert_eq!(GradientNoise::new((4, 1.0), (4, 1.0)), None);
    }
}
