//! The objective that a step minimizes.

use serde::{Deserialize, Serialize};

/// The objective of the reinforcement fine-tuning.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LossConfig {
    /// Which objective.
    #[serde(rename = "type")]
    pub kind: LossKind,
    /// Weight β of the KL to the reference policy; 0 leaves the reference policy out.
    pub kl_coef: f64,
    /// How the KL is estimated from the sampled tokens.
    pub kl: KlEstimator,
    /// Where the KL acts.
    pub kl_in: KlPlace,
    /// Multiply the KL of a token with its importance ratio: the gradient is then that of the reverse KL, without
    /// bias (DeepSeek-V3.2, arXiv 2512.02556).
    pub kl_bias_correction: bool,
    /// Adapts `kl_coef`, its start, so that the KL comes to a target; fixed if left out.
    pub kl_adaptive: Option<AdaptiveKlConfig>,
    /// Clip range ε of the importance ratio, for the types that clip.
    pub clip_epsilon: f64,
    /// Upper clip range where it differs from the lower one; DAPO's is 0.28.
    pub clip_epsilon_high: Option<f64>,
    /// Largest ratio that a negative advantage is multiplied with: the c of dual-clip PPO (arXiv 1912.09729, there
    /// 3) and the δ of two-sided clipping (INTELLECT-2, arXiv 2505.07291), which are one. No bound if left out.
    pub clip_delta: Option<f64>,
    /// Tokens that `dr_grpo` divides the sum of a completion by; `rollout.max_completion_tokens` if left out.
    pub length: Option<usize>,
    /// Settings of `type = "cispo"`; its defaults if left out.
    pub cispo: Option<CispoConfig>,
    /// Settings of `type = "sapo"`; its defaults if left out.
    pub sapo: Option<SapoConfig>,
    /// Settings of `type = "vespo"`; its defaults if left out.
    pub vespo: Option<VespoConfig>,
    /// Leave completions out that were cut at the longest length allowed (DAPO, arXiv 2503.14476).
    pub mask_truncated: bool,
    /// Leave completions out that have a negative advantage and that the sampler found likelier by more than this,
    /// in nats per token (DeepSeek-V3.2, arXiv 2512.02556, equation 9). None if left out.
    pub off_policy_threshold: Option<f64>,
    /// Share of tokens, those of highest entropy, that the advantage acts on (arXiv 2506.01939, there 0.2).
    pub top_entropy: f64,
    /// Weight of the mean entropy per token, which is to be large.
    pub entropy_coef: f64,
    /// Adapts `entropy_coef`, its start, while the entropy is below a target; fixed if left out.
    pub entropy_adaptive: Option<AdaptiveEntropyConfig>,
    /// Weighs tokens by how much likelier the learner finds them than the sampler did, which computes the same
    /// policy in another way or an older one. No correction if left out.
    pub sampler_correction: Option<SamplerCorrectionConfig>,
}

/// Which objective. Ratios are of token probabilities unless said otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossKind {
    /// Clipped ratio; mean over tokens, then over completions (arXiv 2402.03300).
    Grpo,
    /// Clipped ratio; mean over the tokens of the batch.
    Bnpo,
    /// Clipped ratio; sum over tokens by a constant, mean over completions (arXiv 2503.20783).
    DrGrpo,
    /// Clipped ratio; mean over the tokens of all completions that were sampled together (arXiv 2503.14476).
    Dapo,
    /// Clipped ratio of whole completions (arXiv 2507.18071).
    Gspo,
    /// As `gspo`, with the gradient of each token on its own.
    GspoToken,
    /// Clipped weights on the logprobs, so that no token is without a gradient (MiniMax-M1, arXiv 2506.13585).
    Cispo,
    /// A smooth gate instead of a clip (arXiv 2511.20347).
    Sapo,
    /// As `gspo`, each completion scaled by its length (arXiv 2602.05261).
    Luspo,
    /// A smooth weight of whole completions (arXiv 2602.10693).
    Vespo,
}

/// Estimators of the KL from a sample, `d = logprob - ref_logprob`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KlEstimator {
    /// `d`: without bias, of large variance. Its own gradient is 0 on average.
    K1,
    /// `d² / 2`.
    K2,
    /// `exp(-d) + d - 1`: never negative.
    K3,
}

/// Where the KL acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KlPlace {
    /// Added to the loss of each token, with a gradient.
    Loss,
    /// Taken from the reward of a completion, summed over its tokens, as in RLOO: a constant to the gradient.
    Reward,
}

/// The controller of [arXiv 1909.08593](https://arxiv.org/abs/1909.08593), section 2.2: after each step β is
/// multiplied with `1 + clip(kl / target - 1, -0.2, 0.2) · n_completions / horizon`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdaptiveKlConfig {
    /// KL per token to come to, in nats.
    pub target: f64,
    /// Completions over which an error is worked off; verl's is 10 000.
    #[serde(default = "ten_thousand")]
    pub horizon: f64,
}

/// The controller of Skywork-OR1 (arXiv 2505.22312): the coefficient rises by `delta` after a step whose entropy
/// was at or below the target, falls after any other, and acts only after the former.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdaptiveEntropyConfig {
    /// Mean entropy per token, in nats.
    pub target: f64,
    /// Change of the coefficient per step.
    pub delta: f64,
    /// Lowest coefficient.
    pub min: f64,
    /// Highest coefficient.
    pub max: f64,
}

/// CISPO's settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CispoConfig {
    /// Largest weight; 5 in ScaleRL (arXiv 2510.13786).
    pub max_ratio: f64,
}

/// SAPO's settings: how fast the gate closes as the ratio leaves 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SapoConfig {
    /// For tokens with a positive advantage.
    pub temperature_pos: f64,
    /// For all others.
    pub temperature_neg: f64,
}

/// VESPO's settings: `exp(λ) w^k exp(-λ w)` weighs a completion of ratio w.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VespoConfig {
    /// k for advantages of 0 and more.
    pub k_pos: f64,
    /// λ for advantages of 0 and more.
    pub lambda_pos: f64,
    /// k for negative advantages.
    pub k_neg: f64,
    /// λ for negative advantages.
    pub lambda_neg: f64,
}

/// How the probability ratio of learner to sampler weighs a token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SamplerCorrectionConfig {
    /// Ratios of what, and what happens to those outside the bounds.
    pub mode: CorrectionMode,
    /// Upper bound; none if left out. TRL's is 3.
    pub max: Option<f64>,
    /// Lower bound; none if left out.
    pub min: Option<f64>,
}

/// Ratios of tokens or of whole completions; outside the bounds they are cut to them, or become 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CorrectionMode {
    /// Of each token, cut to the bounds.
    TokenTruncate,
    /// Of each token, 0 outside the bounds.
    TokenMask,
    /// Of each completion, cut to the bounds.
    SequenceTruncate,
    /// Of each completion, 0 outside the bounds.
    SequenceMask,
}

impl LossKind {
    /// Whether the importance ratio is clipped: `clip_epsilon` and its kin act.
    pub fn clips(self) -> bool {
        !matches!(self, Self::Cispo | Self::Sapo | Self::Vespo)
    }
}

impl Default for LossConfig {
    fn default() -> Self {
        Self {
            kind: LossKind::Grpo,
            kl_coef: 0.04,
            kl: KlEstimator::K3,
            kl_in: KlPlace::Loss,
            kl_bias_correction: false,
            kl_adaptive: None,
            clip_epsilon: 0.2,
            clip_epsilon_high: None,
            clip_delta: None,
            length: None,
            cispo: None,
            sapo: None,
            vespo: None,
            mask_truncated: false,
            off_policy_threshold: None,
            top_entropy: 1.0,
            entropy_coef: 0.0,
            entropy_adaptive: None,
            sampler_correction: None,
        }
    }
}

impl Default for AdaptiveEntropyConfig {
    fn default() -> Self {
        Self { target: 0.2, delta: 0.005, min: 0.0, max: 1.0 }
    }
}

impl Default for CispoConfig {
    fn default() -> Self {
        Self { max_ratio: 5.0 }
    }
}

impl Default for SapoConfig {
    fn default() -> Self {
        Self { temperature_pos: 1.0, temperature_neg: 1.05 }
    }
}

impl Default for VespoConfig {
    fn default() -> Self {
        Self { k_pos: 2.0, lambda_pos: 3.0, k_neg: 3.0, lambda_neg: 2.0 }
    }
}

fn ten_thousand() -> f64 {
    10_000.0
}
