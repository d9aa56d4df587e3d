//! Objectives that show the policy the true answer: `[advantage.truth]` and `[loss.chord]`.

use serde::{Deserialize, Serialize};
use vrft_config::{ConfigError, require};

/// ViSurf ([arXiv 2510.10606](https://arxiv.org/abs/2510.10606)): the true answer y joins the G completions of a group as
/// one more, and its reward is controlled.
///
/// The objective is that of the group of G + 1, `1/(G+1) · (Σ_i surrogate(o_i, A_i) + surrogate(y, A_y)) - β KL`. The
/// policy did not sample y, so its importance ratio is to the policy before the step's first update. Three controls keep
/// y from drowning what the policy finds itself: y is written as the policy writes (`sft.answer_prefix`, the data set's
/// own thinking), it earns nothing for thinking that it does not have (`form`), and it counts only until a completion is
/// as good (`smooth`). See [`crate::advantages`] for both as equations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TruthConfig {
    /// Whether the true answer is paid for its form and its thinking as well, not only for what it says. The paper's
    /// labels have no thinking, and are not paid for it.
    pub form: bool,
    /// Whether the true answer is worth the mean of the group, and so teaches nothing, once a completion earned as much.
    pub smooth: bool,
}

impl Default for TruthConfig {
    fn default() -> Self {
        Self { form: false, smooth: true }
    }
}

/// CHORD ([arXiv 2508.11408](https://arxiv.org/abs/2508.11408)): each step also imitates the true answers of its prompts,
/// `(1 - μ) · L + μ · L_SFT`, where L is the configured objective with all its parts.
///
/// `L_SFT = -1/N · Σ_t w_t · log π(y_t)` over the N tokens of the step's true answers, each in one pass with the
/// completions of its prompt, at the temperature of the rollout. In CHORD-φ the share μ stays and the weight is
/// `w_t = φ_t = p_t (1 - p_t)` with `p_t = π(y_t)`, without gradient: tokens that the policy is sure of, and those that it
/// would never say, teach little. In CHORD-μ the weight is 1 and μ falls from `mu` to `mu_end`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChordConfig {
    /// Share μ of imitation, at its highest.
    pub mu: f64,
    /// The share that μ falls to; as `mu` if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mu_end: Option<f64>,
    /// Steps over which μ rises from 0 to `mu`.
    pub warmup_steps: u64,
    /// Steps after these over which μ falls to `mu_end`, half a cosine.
    pub decay_steps: u64,
    /// Weight of each token of a true answer.
    pub token_weight: TokenWeight,
}

/// How much a token of a true answer counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenWeight {
    /// `p (1 - p)`, with the probability p that the policy gives it: CHORD-φ.
    Phi,
    /// 1: plain supervised fine-tuning, CHORD-μ.
    One,
}

impl Default for ChordConfig {
    fn default() -> Self {
        Self {
            mu: 0.1,
            mu_end: None,
            warmup_steps: 0,
            decay_steps: 0,
            token_weight: TokenWeight::Phi,
        }
    }
}

impl ChordConfig {
    /// Share of imitation in the step after `step` others.
    pub fn mu_at(&self, step: u64) -> f64 {
        if step < self.warmup_steps {
            return self.mu * step as f64 / self.warmup_steps as f64;
        }
        let end = self.mu_end.unwrap_or(self.mu);
        let fallen = (step - self.warmup_steps) as f64 / self.decay_steps.max(1) as f64;
        let left = (1.0 + (std::f64::consts::PI * fallen.min(1.0)).cos()) / 2.0;
        end + (self.mu - end) * left
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let is_share = |share: f64| (0.0..=1.0).contains(&share);
        require(
            self.mu > 0.0 && is_share(self.mu),
            "loss.chord.mu",
            self.mu,
            "a share in (0, 1]; leave [loss.chord] out for 0",
        )?;
        let end = self.mu_end.unwrap_or(self.mu);
        require(is_share(end), "loss.chord.mu_end", end, "a share in [0, 1]")?;
        require(
            end == self.mu || self.decay_steps > 0,
            "loss.chord.decay_steps",
            0,
            "the steps over which loss.chord.mu falls to loss.chord.mu_end, at least 1",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_rises_falls_and_stays() {
        let falls = ChordConfig {
            mu: 0.9,
            mu_end: Some(0.1),
            warmup_steps: 2,
            decay_steps: 4,
            ..ChordConfig::default()
        };
        let expect = [0.0, 0.45, 0.9, 0.782_842_7, 0.5, 0.217_157_3, 0.1, 0.1];
        for (step, expect) in expect.into_iter().enumerate() {
            let mu = falls.mu_at(step as u64);
            assert!((mu - expect).abs() < 1e-6, "step {step}: {mu}");
        }
        let stays = ChordConfig::default();
        assert_eq!([0, 1, 1000].map(|step| stays.mu_at(step)), [0.1; 3]);
    }
}
