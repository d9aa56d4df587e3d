//! The sections `[advantage]` and `[loss]`.

pub use vrft_config::{
    AbsoluteConfig, AbsoluteMode, AdaptiveEntropyConfig, AdaptiveKlConfig, AdvantageConfig,
    AdvantageScale, Aggregate, Baseline, CispoConfig, CorrectionMode, CurriculumConfig, Diversity,
    KlEstimator, KlPlace, LossConfig, LossKind, OverlongConfig, SamplerCorrectionConfig,
    SapoConfig, VespoConfig,
};
