//! The sections `[advantage]` and `[loss]`.

mod advantage;
mod check;
mod loss;

pub use advantage::{
    AbsoluteConfig, AbsoluteMode, AdvantageConfig, AdvantageScale, Aggregate, Baseline,
    CurriculumConfig, Diversity, OverlongConfig,
};
pub use check::check_together;
pub use loss::{
    AdaptiveEntropyConfig, AdaptiveKlConfig, CispoConfig, CorrectionMode, KlEstimator, KlPlace,
    LossConfig, LossKind, SamplerCorrectionConfig, SapoConfig, VespoConfig,
};
