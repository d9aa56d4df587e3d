//! Checkpoints: which one a run starts from, and which of its parts are trained.

mod config;

pub use config::{ALL_LINEAR, Dtype, LoraConfig, PolicyConfig, TargetModules};
