//! The sections `[advantage]` and `[loss]`.
//!
//! An objective is put together from parts that are set on their own; the names that papers gave to combinations are
//! presets. What a type cannot rule out is checked, with what to write instead.

mod advantage;
mod distillation;
mod loss;
mod parts;
mod preset;
#[cfg(test)]
mod tests;
mod truth;
mod written;

pub use advantage::{
    AbsoluteConfig, AdvantageConfig, AdvantagePreset, AdvantageScale, Aggregate, Baseline,
    CurriculumConfig, OverlongConfig,
};
pub use distillation::{DistillationConfig, Teacher, VisualConfig};
pub use loss::{
    AdaptiveEntropyConfig, AdaptiveKlConfig, CorrectionMode, EffectiveSamplesConfig, KlEstimator,
    KlPlace, LossConfig, SamplerCorrectionConfig,
};
pub use parts::{
    Aggregation, AwrConfig, CispoConfig, ClipConfig, Masks, Ratio, SapoConfig, Surrogate,
    VespoConfig,
};
pub use preset::Preset;
pub use truth::{ChordConfig, TokenWeight, TruthConfig};

use vrft_config::{ConfigError, require};

/// Checks what the two sections ask of each other: a KL in the reward reaches the learner after the advantages, which is
/// the same only while those are linear in the reward.
///
/// # Errors
/// A setting of one that does not go with the other.
pub fn check_together(advantage: &AdvantageConfig, loss: &LossConfig) -> Result<(), ConfigError> {
    require(
        loss.kl_in == KlPlace::Loss || advantage.is_linear(),
        "loss.kl_in",
        "reward",
        "\"loss\", or write advantage.baseline = \"group\" and advantage.scale = \"none\", and leave \
         [advantage.absolute], [advantage.curriculum] and [advantage.truth] out: the advantage must be linear in the \
         reward",
    )?;
    require(
        advantage.truth.is_none() || loss.chord.is_none(),
        "loss.chord",
        "given",
        "it left out beside [advantage.truth]: either shows the policy the true answer, as one of the group or apart",
    )?;
    require(
        loss.self_distillation.is_none() || (loss.chord.is_none() && advantage.truth.is_none()),
        "loss.self_distillation",
        "given",
        "it left out beside [loss.chord] and [advantage.truth]: one of them shows the true answer",
    )
}

/// How many true answers stand beside the sampled completions of each prompt.
pub fn n_shown(advantage: &AdvantageConfig, loss: &LossConfig) -> usize {
    usize::from(advantage.truth.is_some()) + usize::from(loss.chord.is_some())
}
