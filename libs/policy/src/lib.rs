//! The policy: a Qwen2-VL that is loaded, trained through, sampled from and saved.
//!
//! One model definition serves both forwards: the trainable one over packed groups
//! ([`Policy::logprobs`]) and the cached one that decodes ([`Policy::start`]). Every tensor operation on
//! the way comes from `kernels` or has a gradient in candle, so no gradient is cut.

mod config;
mod error;
mod packing;
mod policy;
mod prompt;
mod session;

pub use config::{ModelConfig, TextConfig, VisionConfig};
pub use error::PolicyError;
pub use packing::PackedGroup;
pub use policy::{LoadOptions, Policy, TokenLogprobs};
pub use prompt::EncodedPrompt;
pub use session::Session;
