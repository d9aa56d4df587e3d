//! The policy: a Qwen2-VL that is loaded, trained through, sampled from and saved.
//!
//! One model definition serves both forwards: the trainable one over packed groups
//! ([`Policy::logprobs`]) and the cached one that decodes ([`Policy::start`]). Every tensor operation on
//! the way comes from `kernels` or has a gradient in candle, so no gradient is cut.

mod cache;
mod checkpoint;
mod config;
mod decoder;
mod device;
mod error;
mod features;
mod files;
mod generation;
mod hub;
mod init;
mod known;
mod layers;
mod lora;
mod media;
mod memory;
mod messages;
mod model;
mod packing;
mod peft;
mod policy;
mod prefixes;
mod processor;
mod prompt;
mod python;
mod rotary;
mod scope;
mod seen;
mod session;
mod template;
mod tokenizer;
mod tower;
mod weights;

pub use config::{Architecture, ModelConfig, TextConfig, TowerKind, VisionConfig};
pub use device::{check_device, open_device};
pub use error::PolicyError;
pub use generation::GenerationSettings;
pub use hub::checkpoint_dir;
pub use messages::Conversation;
pub use packing::PackedGroup;
pub use policy::{LoadOptions, Policy, TokenLogprobs, Trace, TrainingPass};
pub use processor::Processor;
pub use prompt::EncodedPrompt;
pub use seen::SeenImages;
pub use session::Session;
