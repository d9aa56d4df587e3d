//! `[loss]` as it may be written: a paper's name or its parts, with short spellings for the settings of the parts.

use serde::{Deserialize, Serialize};
use vrft_config::{ConfigError, require};

use super::{
    AdaptiveEntropyConfig, AdaptiveKlConfig, Aggregation, ChordConfig, CispoConfig, ClipConfig,
    DistillationConfig, EffectiveSamplesConfig, KlEstimator, KlPlace, LossConfig, Masks, Preset,
    Ratio, SamplerCorrectionConfig, SapoConfig, Surrogate, VespoConfig, VisualConfig,
};

/// The keys of the section. What is left out of the parts is the preset's.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Written {
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    preset: Option<Preset>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio: Option<Ratio>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aggregation: Option<AggregationName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    length: Option<usize>,
    mask_truncated: bool,
    mask_zero_advantage: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    off_policy_threshold: Option<f64>,
    top_entropy: f64,
    kl_coef: f64,
    kl: KlEstimator,
    kl_in: KlPlace,
    kl_bias_correction: bool,
    entropy_coef: f64,
    /// Short for `surrogate.epsilon`, and likewise the next two.
    #[serde(skip_serializing)]
    clip_epsilon: Option<f64>,
    #[serde(skip_serializing)]
    clip_epsilon_high: Option<f64>,
    #[serde(skip_serializing)]
    clip_delta: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    surrogate: Option<Surrogate>,
    /// Short for `surrogate` with `type = "cispo"`, and likewise the next two.
    #[serde(skip_serializing)]
    cispo: Option<CispoConfig>,
    #[serde(skip_serializing)]
    sapo: Option<SapoConfig>,
    #[serde(skip_serializing)]
    vespo: Option<VespoConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kl_adaptive: Option<AdaptiveKlConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entropy_adaptive: Option<AdaptiveEntropyConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sampler_correction: Option<SamplerCorrectionConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    effective_samples: Option<EffectiveSamplesConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    chord: Option<ChordConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    self_distillation: Option<DistillationConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    visual: Option<VisualConfig>,
}

/// The words for [`Aggregation`], whose length is a key of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum AggregationName {
    SequenceMean,
    TokenMean,
    SequenceSum,
    ConstantLength,
}

impl TryFrom<Written> for LossConfig {
    type Error = ConfigError;

    fn try_from(written: Written) -> Result<Self, ConfigError> {
        Ok(Self {
            ratio: written.ratio()?,
            surrogate: written.surrogate()?,
            aggregation: written.aggregation()?,
            masks: Masks {
                truncated: written.mask_truncated,
                zero_advantage: written.mask_zero_advantage,
                off_policy_threshold: written.off_policy_threshold,
                top_entropy: written.top_entropy,
            },
            kl_coef: written.kl_coef,
            kl: written.kl,
            kl_in: written.kl_in,
            kl_bias_correction: written.kl_bias_correction,
            kl_adaptive: written.kl_adaptive,
            entropy_coef: written.entropy_coef,
            entropy_adaptive: written.entropy_adaptive,
            sampler_correction: written.sampler_correction,
            effective_samples: written.effective_samples,
            chord: written.chord,
            self_distillation: written.self_distillation,
            visual: written.visual,
        })
    }
}

impl Written {
    /// What the preset says, or GRPO where there is none.
    fn parts(&self) -> (Ratio, Surrogate, Aggregation) {
        self.preset.unwrap_or(Preset::Grpo).parts()
    }

    /// Refuses a part that contradicts the paper's name: without the name, parts may be combined freely.
    fn agree<T: PartialEq>(
        &self,
        key: &'static str,
        part: T,
        of_preset: T,
        word: &str,
    ) -> Result<(), ConfigError> {
        let Some(preset) = self.preset.filter(|_| part != of_preset) else { return Ok(()) };
        let expected = format!(
            "it left out, as loss.type = {:?} says another one, or loss.type left out, and loss.ratio, loss.surrogate \
             and loss.aggregation set",
            preset.name()
        );
        require(false, key, word, expected)
    }

    fn ratio(&self) -> Result<Ratio, ConfigError> {
        let (of_preset, ..) = self.parts();
        let Some(ratio) = self.ratio else { return Ok(of_preset) };
        let word = match ratio {
            Ratio::Token => "token",
            Ratio::Sequence => "sequence",
            Ratio::SequenceToken => "sequence_token",
        };
        self.agree("loss.ratio", ratio, of_preset, word)?;
        Ok(ratio)
    }

    fn aggregation(&self) -> Result<Aggregation, ConfigError> {
        let (_, _, of_preset) = self.parts();
        let named = AggregationName::of(of_preset);
        let name = self.aggregation.unwrap_or(named);
        self.agree("loss.aggregation", name, named, name.word())?;
        let is_constant = name == AggregationName::ConstantLength;
        require(
            is_constant || self.length.is_none(),
            "loss.length",
            self.length.unwrap_or_default(),
            "it left out, or write loss.aggregation = \"constant_length\" (loss.type = \"dr_grpo\"), whose setting it is",
        )?;
        Ok(match name {
            AggregationName::SequenceMean => Aggregation::SequenceMean,
            AggregationName::TokenMean => Aggregation::TokenMean,
            AggregationName::SequenceSum => Aggregation::SequenceSum,
            AggregationName::ConstantLength => Aggregation::ConstantLength { length: self.length },
        })
    }

    fn surrogate(&self) -> Result<Surrogate, ConfigError> {
        let (_, of_preset, _) = self.parts();
        let mut surrogate = self.surrogate.clone().unwrap_or_else(|| of_preset.clone());
        let name = surrogate.name();
        self.agree("loss.surrogate.type", name, of_preset.name(), name)?;
        for (key, short) in [
            ("loss.cispo", self.cispo.clone().map(Surrogate::Cispo)),
            ("loss.sapo", self.sapo.clone().map(Surrogate::Sapo)),
            ("loss.vespo", self.vespo.clone().map(Surrogate::Vespo)),
        ] {
            let Some(short) = short else { continue };
            self.check_short(key, short.name() == name)?;
            surrogate = short;
        }
        self.check_clip_keys(&surrogate)?;
        if let Surrogate::Clip(clip) = &mut surrogate {
            clip.epsilon = self.clip_epsilon.unwrap_or(clip.epsilon);
            clip.epsilon_high = self.clip_epsilon_high.or(clip.epsilon_high);
            clip.delta = self.clip_delta.or(clip.delta);
        }
        Ok(surrogate)
    }

    /// Short spellings need the surrogate that they are settings of, and no `[loss.surrogate]` beside them.
    fn check_short(&self, key: &'static str, is_of_surrogate: bool) -> Result<(), ConfigError> {
        require(
            is_of_surrogate,
            key,
            "given",
            "it left out, or write loss.type or loss.surrogate as the one whose setting it is",
        )?;
        require(
            self.surrogate.is_none(),
            key,
            "given",
            "it left out beside [loss.surrogate], which has the same setting",
        )
    }

    fn check_clip_keys(&self, surrogate: &Surrogate) -> Result<(), ConfigError> {
        let clips = matches!(surrogate, Surrogate::Clip(_));
        let keys = [
            ("loss.clip_epsilon", self.clip_epsilon),
            ("loss.clip_epsilon_high", self.clip_epsilon_high),
            ("loss.clip_delta", self.clip_delta),
        ];
        for (key, value) in keys.into_iter().filter_map(|(key, value)| Some((key, value?))) {
            // A file that writes the default out says nothing: it stays good for objectives that do not clip.
            if !clips && key == "loss.clip_epsilon" && value == ClipConfig::default().epsilon {
                continue;
            }
            require(
                clips,
                key,
                value,
                "it left out for an objective that does not clip the ratio",
            )?;
            self.check_short(key, clips)?;
        }
        Ok(())
    }
}

impl AggregationName {
    fn of(aggregation: Aggregation) -> Self {
        match aggregation {
            Aggregation::SequenceMean => Self::SequenceMean,
            Aggregation::TokenMean => Self::TokenMean,
            Aggregation::SequenceSum => Self::SequenceSum,
            Aggregation::ConstantLength { .. } => Self::ConstantLength,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::SequenceMean => "sequence_mean",
            Self::TokenMean => "token_mean",
            Self::SequenceSum => "sequence_sum",
            Self::ConstantLength => "constant_length",
        }
    }
}

impl From<LossConfig> for Written {
    fn from(loss: LossConfig) -> Self {
        let length = match loss.aggregation {
            Aggregation::ConstantLength { length } => length,
            _ => None,
        };
        Self {
            preset: None,
            ratio: Some(loss.ratio),
            aggregation: Some(AggregationName::of(loss.aggregation)),
            length,
            mask_truncated: loss.masks.truncated,
            mask_zero_advantage: loss.masks.zero_advantage,
            off_policy_threshold: loss.masks.off_policy_threshold,
            top_entropy: loss.masks.top_entropy,
            kl_coef: loss.kl_coef,
            kl: loss.kl,
            kl_in: loss.kl_in,
            kl_bias_correction: loss.kl_bias_correction,
            entropy_coef: loss.entropy_coef,
            clip_epsilon: None,
            clip_epsilon_high: None,
            clip_delta: None,
            surrogate: Some(loss.surrogate),
            cispo: None,
            sapo: None,
            vespo: None,
            kl_adaptive: loss.kl_adaptive,
            entropy_adaptive: loss.entropy_adaptive,
            sampler_correction: loss.sampler_correction,
            effective_samples: loss.effective_samples,
            chord: loss.chord,
            self_distillation: loss.self_distillation,
            visual: loss.visual,
        }
    }
}

impl Default for Written {
    /// Nothing is written: every part is left to the preset, everything else is at its default.
    fn default() -> Self {
        Self {
            ratio: None,
            aggregation: None,
            surrogate: None,
            ..Self::from(LossConfig::default())
        }
    }
}
