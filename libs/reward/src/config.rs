//! The section `[reward]`, and the rewards of the sources of the data.

mod answer;
mod check;
mod declare;
mod metric;
mod sources;
mod task;
mod term;

pub use answer::{AnswerConfig, AnswerType, Content, FormatConfig, From, Keys, Reader, Space};
pub use sources::RewardsConfig;
pub use task::{CorrectionConfig, RewardConfig, RewardMode};
pub use term::{
    MatchBy, MatchConfig, Measure, Metric, Miss, Norm, Refined, Repeats, Same, Shape, Snra,
    TermConfig,
};
