//! The parts of an objective: importance ratio × surrogate × aggregation × masks.
//!
//! Each is set on its own. The names of papers are in [`super::Preset`].

use serde::{Deserialize, Serialize};

/// What the importance ratio is the ratio of: probabilities of single tokens, or of whole completions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ratio {
    /// `exp(logprob - old_logprob)` of each token, as in PPO and GRPO.
    Token,
    /// `exp(mean over the tokens of logprob - old_logprob)`, the same at each token of a completion
    /// (GSPO, [arXiv 2507.18071](https://arxiv.org/abs/2507.18071), equation 7). The clip range that fits is far
    /// smaller than for tokens (there 3e-4).
    Sequence,
    /// The value of `sequence` with the gradient of each token on its own (GSPO-token, equation 14).
    SequenceToken,
}

/// What is made of ratio, advantage and logprob of each token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Surrogate {
    /// The clipped ratio of PPO.
    Clip(ClipConfig),
    /// A bounded weight on the logprob, so that no token is without a gradient.
    Cispo(CispoConfig),
    /// A gate that closes smoothly as the ratio leaves 1.
    Sapo(SapoConfig),
    /// A smooth weight of whole completions.
    Vespo(VespoConfig),
    /// A weight by the advantage on the logprobs, without a ratio.
    Awr(AwrConfig),
}

/// How the losses of tokens become one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aggregation {
    /// Mean over the tokens of each completion, then over completions: short and long ones count alike
    /// (GRPO, [arXiv 2402.03300](https://arxiv.org/abs/2402.03300), equation 3).
    SequenceMean,
    /// Mean over all tokens of the update: long completions count for more
    /// (DAPO, [arXiv 2503.14476](https://arxiv.org/abs/2503.14476), equation 8).
    TokenMean,
    /// Sum over the tokens of each completion, then mean over completions: the sequence mean, scaled by length
    /// (LUSPO, [arXiv 2602.05261](https://arxiv.org/abs/2602.05261)). With the ratio of whole completions the mean
    /// would give a long completion the gradient of a short one, and policies grow terse.
    SequenceSum,
    /// Sum over the tokens of each completion by a constant, then mean over completions, so that no completion is
    /// favored for its length (Dr. GRPO, [arXiv 2503.20783](https://arxiv.org/abs/2503.20783), appendix). To be used
    /// with `advantage.scale = "none"`.
    ConstantLength {
        /// The constant; `rollout.max_completion_tokens` if left out.
        length: Option<usize>,
    },
}

/// Which completions and tokens have no part in the loss. Everything counts by default.
#[derive(Debug, Clone, PartialEq)]
pub struct Masks {
    /// Leave completions out that were cut at the longest length allowed. They still count where completions are
    /// counted, as in TRL (DAPO, [arXiv 2503.14476](https://arxiv.org/abs/2503.14476)).
    pub truncated: bool,
    /// Leave completions without an advantage out of everything, the KL and every count included: what dynamic
    /// sampling does to the groups that it does not replace.
    pub zero_advantage: bool,
    /// Leave completions out that have a negative advantage and that the sampler found likelier by more than this,
    /// in nats per token (DeepSeek-V3.2, [arXiv 2512.02556](https://arxiv.org/abs/2512.02556), equation 9).
    pub off_policy_threshold: Option<f64>,
    /// Share of tokens, those of highest entropy, that the advantage acts on; 1 for all
    /// ([arXiv 2506.01939](https://arxiv.org/abs/2506.01939), there 0.2).
    pub top_entropy: f64,
}

/// Settings of the clipped surrogate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClipConfig {
    /// The ratio is clipped to `1 - epsilon` and `1 + epsilon`.
    pub epsilon: f64,
    /// Upper range where it differs from the lower one; DAPO's is 0.28.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epsilon_high: Option<f64>,
    /// Largest ratio that a negative advantage is multiplied with: the c of dual-clip PPO (arXiv 1912.09729, there
    /// 3) and the δ of two-sided clipping (INTELLECT-2, arXiv 2505.07291), which are one. No bound if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delta: Option<f64>,
}

/// The setting of CISPO's surrogate.
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
    /// Temperature of the gate for tokens with a positive advantage.
    pub temperature_pos: f64,
    /// Temperature of the gate for tokens with any other advantage.
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

/// AWR's settings: `min(exp(A / temperature), max_weight)` weighs the likelihood of a completion of advantage A.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AwrConfig {
    /// What the advantage is divided by; the paper's β. The smaller, the more the best completions count alone.
    pub temperature: f64,
    /// Largest weight; the paper's ω_max is 20.
    pub max_weight: f64,
}

impl Surrogate {
    /// The word that the configuration has for it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Clip(_) => "clip",
            Self::Cispo(_) => "cispo",
            Self::Sapo(_) => "sapo",
            Self::Vespo(_) => "vespo",
            Self::Awr(_) => "awr",
        }
    }

    /// Settings of the surrogate that must be above 0, by name.
    pub(super) fn positive_settings(&self) -> Vec<(&'static str, f64)> {
        match self {
            Self::Clip(_) => vec![],
            Self::Cispo(cispo) => vec![("loss.surrogate.max_ratio", cispo.max_ratio)],
            Self::Sapo(sapo) => vec![
                ("loss.surrogate.temperature_pos", sapo.temperature_pos),
                ("loss.surrogate.temperature_neg", sapo.temperature_neg),
            ],
            Self::Vespo(vespo) => vec![
                ("loss.surrogate.k_pos", vespo.k_pos),
                ("loss.surrogate.lambda_pos", vespo.lambda_pos),
                ("loss.surrogate.k_neg", vespo.k_neg),
                ("loss.surrogate.lambda_neg", vespo.lambda_neg),
            ],
            Self::Awr(awr) => vec![
                ("loss.surrogate.temperature", awr.temperature),
                ("loss.surrogate.max_weight", awr.max_weight),
            ],
        }
    }
}

impl Default for AwrConfig {
    fn default() -> Self {
        Self { temperature: 1.0, max_weight: 20.0 }
    }
}

impl Default for Masks {
    fn default() -> Self {
        Self {
            truncated: false,
            zero_advantage: false,
            off_policy_threshold: None,
            top_entropy: 1.0,
        }
    }
}

impl Default for ClipConfig {
    fn default() -> Self {
        Self { epsilon: 0.2, epsilon_high: None, delta: None }
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
