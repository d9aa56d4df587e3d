//! The section `[loss]`: the objective that a step minimizes.

use serde::{Deserialize, Serialize};
use vrft_config::{ConfigError, Document, Section, require};

use super::written::Written;
use super::{
    Aggregation, ChordConfig, ClipConfig, DistillationConfig, Masks, Preset, Ratio, Surrogate,
    Teacher, VisualConfig,
};

/// The objective of the reinforcement fine-tuning: importance ratio × surrogate × aggregation × masks, a KL to the
/// reference policy, an entropy bonus, a correction for the sampler.
///
/// Written as a paper's name (`type = "gspo"`) or part by part (`ratio = "sequence"`, `aggregation = "sequence_mean"`,
/// `surrogate = {type = "clip", epsilon = 3e-4}`); printed part by part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct LossConfig {
    /// What the importance ratio is the ratio of.
    pub ratio: Ratio,
    /// What is made of ratio, advantage and logprob of each token.
    pub surrogate: Surrogate,
    /// How the losses of tokens become one number.
    pub aggregation: Aggregation,
    /// Which completions and tokens have no part in it.
    pub masks: Masks,
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
    /// Weight of the mean entropy per token, which is to be large.
    pub entropy_coef: f64,
    /// Adapts `entropy_coef`, its start, while the entropy is below a target; fixed if left out.
    pub entropy_adaptive: Option<AdaptiveEntropyConfig>,
    /// Weighs tokens by how much likelier the learner finds them than the sampler did, which computes the same
    /// policy in another way or an older one. No correction if left out.
    pub sampler_correction: Option<SamplerCorrectionConfig>,
    /// Refuses steps whose completions are too far from the policy; none if left out.
    pub effective_samples: Option<EffectiveSamplesConfig>,
    /// Imitates the true answers beside it; not if left out.
    pub chord: Option<ChordConfig>,
    /// Distills what the policy knows once it is told the true answer; not if left out.
    pub self_distillation: Option<DistillationConfig>,
    /// Weighs tokens by how much the picture matters for them; all alike if left out.
    pub visual: Option<VisualConfig>,
}

/// Estimators of the KL from a sample, `d = logprob - ref_logprob`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KlEstimator {
    /// `d`: without bias, of large variance. Its own gradient is 0 on average.
    K1,
    /// `d² / 2`: with bias, of small variance.
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
    /// Lowest value of the coefficient; none if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// Highest value of the coefficient; none if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
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
    /// Lowest value of the coefficient.
    pub min: f64,
    /// Highest value of the coefficient.
    pub max: f64,
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

/// Bounds how far the policy may be from the completions of a step: by the effective number of them, as a share,
/// `(Σw)² / (n Σw²)` with the ratio w of a completion's probability under the policy to that under its sampler.
///
/// 1 where the policy is the sampler; 1/n where one completion outweighs all others. A step below `min` is counted and
/// changes no weight.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EffectiveSamplesConfig {
    /// The smallest share that a step may have.
    pub min: f64,
    /// The most steps of a run that may be refused; one more ends the run.
    pub max_refused: u64,
}

/// Ratios of tokens or of whole completions; outside the bounds they are cut to them, or become 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CorrectionMode {
    /// Ratio of each token, cut to the bounds.
    TokenTruncate,
    /// Ratio of each token, 0 outside the bounds.
    TokenMask,
    /// Ratio of each completion, cut to the bounds.
    SequenceTruncate,
    /// Ratio of each completion, 0 outside the bounds.
    SequenceMask,
}

impl Default for LossConfig {
    fn default() -> Self {
        let (ratio, surrogate, aggregation) = Preset::Grpo.parts();
        Self {
            ratio,
            surrogate,
            aggregation,
            masks: Masks::default(),
            kl_coef: 0.04,
            kl: KlEstimator::K3,
            kl_in: KlPlace::Loss,
            kl_bias_correction: false,
            kl_adaptive: None,
            entropy_coef: 0.0,
            entropy_adaptive: None,
            sampler_correction: None,
            effective_samples: None,
            chord: None,
            self_distillation: None,
            visual: None,
        }
    }
}

impl Default for EffectiveSamplesConfig {
    fn default() -> Self {
        Self { min: 0.1, max_refused: 10 }
    }
}

impl Default for AdaptiveEntropyConfig {
    fn default() -> Self {
        Self { target: 0.2, delta: 0.005, min: 0.0, max: 1.0 }
    }
}

fn ten_thousand() -> f64 {
    10_000.0
}

impl Section for LossConfig {
    const NAME: &'static str = "loss";

    /// Contradictions among the spellings are errors of their keys.
    fn prepare(table: toml::Table, _: &Document) -> Result<toml::Table, ConfigError> {
        if let Ok(written) = table.clone().try_into::<Written>() {
            Self::try_from(written)?;
        }
        Ok(table)
    }

    fn check(&self) -> Result<(), ConfigError> {
        self.check_surrogate()?;
        self.check_masks()?;
        self.check_kl()?;
        self.check_entropy()?;
        self.check_correction()?;
        self.check_effective_samples()?;
        self.chord.as_ref().map_or(Ok(()), ChordConfig::check)?;
        self.self_distillation.as_ref().map_or(Ok(()), DistillationConfig::check)?;
        self.visual.as_ref().map_or(Ok(()), VisualConfig::check)
    }
}

impl LossConfig {
    /// Whether a reference policy is needed.
    pub fn needs_reference(&self) -> bool {
        let teacher = self.self_distillation.as_ref().map(|config| config.teacher);
        self.has_kl() || teacher == Some(Teacher::Base)
    }

    /// Whether the KL to the reference policy has a weight.
    pub fn has_kl(&self) -> bool {
        self.kl_coef != 0.0
    }

    /// Whether a completion without an advantage has a gradient all the same: from the KL, the entropy bonus, a teacher, or a
    /// surrogate that imitates it.
    pub fn has_gradient_without_advantage(&self) -> bool {
        let has_kl = self.has_kl() && self.kl_in == KlPlace::Loss;
        // AWR weighs what is as good as its group by 1.
        let imitates = matches!(self.surrogate, Surrogate::Awr(_));
        has_kl || imitates || self.entropy_coef != 0.0 || self.self_distillation.is_some()
    }

    fn check_surrogate(&self) -> Result<(), ConfigError> {
        for (key, value) in self.surrogate.positive_settings() {
            require(value > 0.0 && value.is_finite(), key, value, "above 0")?;
        }
        let name = self.surrogate.name();
        match (&self.surrogate, self.ratio) {
            (Surrogate::Clip(clip), _) => clip.check()?,
            (Surrogate::Cispo(_), ratio) => require(
                ratio != Ratio::SequenceToken,
                "loss.ratio",
                "sequence_token",
                "\"sequence\" with the surrogate \"cispo\": it takes no gradient from the ratio, so that the two are one",
            )?,
            (Surrogate::Vespo(_), ratio) => require(
                ratio == Ratio::Token,
                "loss.ratio",
                format!("of sequences, with the surrogate {name:?}"),
                "\"token\": vespo makes the weight of a completion from the ratios of its tokens itself",
            )?,
            (Surrogate::Awr(_), ratio) => require(
                ratio == Ratio::Token,
                "loss.ratio",
                format!("of sequences, with the surrogate {name:?}"),
                "it left out: awr weighs by the advantage alone and has no ratio",
            )?,
            (Surrogate::Sapo(_), _) => {}
        }
        let length = match self.aggregation {
            Aggregation::ConstantLength { length } => length,
            _ => None,
        };
        require(length != Some(0), "loss.length", 0, "at least 1")
    }

    fn check_masks(&self) -> Result<(), ConfigError> {
        let Masks { off_policy_threshold: threshold, top_entropy, .. } = &self.masks;
        require(
            *top_entropy > 0.0 && *top_entropy <= 1.0,
            "loss.top_entropy",
            top_entropy,
            "a share of tokens in (0, 1]; 1 is all",
        )?;
        require(
            threshold.is_none_or(|threshold| threshold > 0.0 && threshold.is_finite()),
            "loss.off_policy_threshold",
            shown(*threshold),
            "above 0; leave it out for no mask",
        )
    }

    fn check_kl(&self) -> Result<(), ConfigError> {
        require(
            self.kl_coef >= 0.0 && self.kl_coef.is_finite(),
            "loss.kl_coef",
            self.kl_coef,
            "0 or above",
        )?;
        require(
            self.kl != KlEstimator::K1
                || self.kl_coef == 0.0
                || self.kl_in == KlPlace::Reward
                || self.kl_bias_correction,
            "loss.kl",
            "k1",
            "\"k2\" or \"k3\", or write loss.kl_bias_correction = true or loss.kl_in = \"reward\": the gradient of \
             k1 alone is 0 on average",
        )?;
        require(
            !self.kl_bias_correction || self.kl_coef > 0.0,
            "loss.kl_bias_correction",
            true,
            "false where loss.kl_coef is 0",
        )?;
        self.check_kl_in_reward()?;
        self.check_adaptive_kl()
    }

    fn check_kl_in_reward(&self) -> Result<(), ConfigError> {
        if self.kl_in != KlPlace::Reward {
            return Ok(());
        }
        require(
            self.kl_coef > 0.0,
            "loss.kl_in",
            "reward",
            "\"loss\" where loss.kl_coef is 0, since there is no KL to take from the reward",
        )?;
        require(
            !self.kl_bias_correction,
            "loss.kl_bias_correction",
            true,
            "false with loss.kl_in = \"reward\", where the KL has no gradient to correct",
        )
    }

    fn check_adaptive_kl(&self) -> Result<(), ConfigError> {
        let Some(adaptive) = &self.kl_adaptive else { return Ok(()) };
        require(
            self.kl_coef > 0.0,
            "loss.kl_coef",
            self.kl_coef,
            "above 0 with [loss.kl_adaptive], which multiplies it",
        )?;
        for (key, value) in [
            ("loss.kl_adaptive.target", adaptive.target),
            ("loss.kl_adaptive.horizon", adaptive.horizon),
        ] {
            require(value > 0.0 && value.is_finite(), key, value, "above 0")?;
        }
        let (min, max) = (adaptive.min.unwrap_or(0.0), adaptive.max.unwrap_or(f64::MAX));
        require(
            min >= 0.0 && min < max,
            "loss.kl_adaptive.min",
            min,
            "0 or above, and below loss.kl_adaptive.max",
        )?;
        require(
            (min..=max).contains(&self.kl_coef),
            "loss.kl_coef",
            self.kl_coef,
            "within loss.kl_adaptive.min and loss.kl_adaptive.max, which it starts from",
        )
    }

    fn check_entropy(&self) -> Result<(), ConfigError> {
        let coef = self.entropy_coef;
        require(coef >= 0.0 && coef.is_finite(), "loss.entropy_coef", coef, "0 or above")?;
        let Some(adaptive) = &self.entropy_adaptive else { return Ok(()) };
        for (key, value) in [
            ("loss.entropy_adaptive.target", adaptive.target),
            ("loss.entropy_adaptive.delta", adaptive.delta),
        ] {
            require(value > 0.0 && value.is_finite(), key, value, "above 0")?;
        }
        require(
            (0.0..adaptive.max).contains(&adaptive.min) && adaptive.max.is_finite(),
            "loss.entropy_adaptive.min",
            adaptive.min,
            "0 or above, and below loss.entropy_adaptive.max",
        )?;
        require(
            (adaptive.min..=adaptive.max).contains(&coef),
            "loss.entropy_coef",
            coef,
            "from loss.entropy_adaptive.min to loss.entropy_adaptive.max, where it starts",
        )
    }

    fn check_effective_samples(&self) -> Result<(), ConfigError> {
        let Some(gate) = &self.effective_samples else { return Ok(()) };
        require(
            gate.min > 0.0 && gate.min < 1.0,
            "loss.effective_samples.min",
            gate.min,
            "a share in (0, 1); leave the section out to refuse nothing",
        )
    }

    fn check_correction(&self) -> Result<(), ConfigError> {
        let Some(correction) = &self.sampler_correction else { return Ok(()) };
        let (min, max) = (correction.min, correction.max);
        require(
            min.is_some() || max.is_some(),
            "loss.sampler_correction.max",
            "nothing",
            "given, or write loss.sampler_correction.min: without a bound a single ratio may outweigh the batch",
        )?;
        require(
            min.unwrap_or(0.0) >= 0.0 && min.unwrap_or(0.0) < max.unwrap_or(f64::INFINITY),
            "loss.sampler_correction.min",
            shown(min),
            "0 or above, and below loss.sampler_correction.max",
        )?;
        let of_sequences = matches!(
            correction.mode,
            CorrectionMode::SequenceTruncate | CorrectionMode::SequenceMask
        );
        require(
            !(matches!(self.surrogate, Surrogate::Vespo(_)) && of_sequences),
            "loss.sampler_correction.mode",
            "a mode of sequences",
            "\"token_truncate\" or \"token_mask\" with the surrogate \"vespo\", whose weight is one of sequences already",
        )
    }
}

impl ClipConfig {
    fn check(&self) -> Result<(), ConfigError> {
        let Self { epsilon, epsilon_high: high, delta } = self;
        require(
            *epsilon > 0.0 && *epsilon < 1.0,
            "loss.clip_epsilon",
            epsilon,
            "in (0, 1); loss.surrogate.epsilon is the same setting",
        )?;
        require(
            high.is_none_or(|high| high > 0.0 && high.is_finite()),
            "loss.clip_epsilon_high",
            shown(*high),
            "above 0; loss.surrogate.epsilon_high is the same setting",
        )?;
        let bound = 1.0 + high.unwrap_or(*epsilon);
        require(
            delta.is_none_or(|delta| delta > bound && delta.is_finite()),
            "loss.clip_delta",
            shown(*delta),
            "above 1 + the upper clip range; loss.surrogate.delta is the same setting",
        )
    }
}

fn shown(value: Option<f64>) -> String {
    value.map_or("nothing".to_owned(), |value| value.to_string())
}
