//! The section `[reward]`.

pub use vrft_config::{
    AnswerConfig, AnswerType, Config, Content, CorrectionConfig, FormatConfig, From, Keys, MatchBy,
    MatchConfig, Measure, Metric, Miss, Norm, Reader, Refined, Repeats, RewardConfig, RewardMode,
    Same, Shape, Snra, SourceConfig, Space, TermConfig,
};
