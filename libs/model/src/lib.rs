//! The policy: a vision-language model that is loaded, trained through, sampled from and saved.
//!
//! One model definition serves both forward passes: the one over packed groups, for training
//! ([`Policy::training_pass`]) and without gradients ([`Policy::logprobs`]), and the cached one that decodes
//! ([`Policy::start`]). What is computed between the layers are activations of `vrft-kernels`, on which only its
//! differentiable operations are defined.

mod adapted;
mod attack;
mod cache;
mod checkpoint;
mod config;
mod decoder;
mod device;
mod encoded_images;
mod error;
mod families;
mod features;
mod init;
mod layers;
mod lora;
mod memory;
mod model;
mod names;
mod opened;
mod packing;
mod packing_for_gpu;
mod passes;
mod peft;
mod policy;
mod prefixes;
mod quantized;
mod rotary;
mod scope;
mod session;
mod shared;
mod soft_prompt;
mod tensor_cache;
mod tower;
mod vit;
mod weights;

pub use attack::{Attacked, PixelGradient};
pub use config::{ModelConfig, RopeStretch, TextConfig};
pub use device::{check_device, give_back_freed_memory, gpu_memory, open_device};
pub use encoded_images::{EncodedImages, FeatureGradients};
pub use error::ModelError;
pub use opened::{check_checkpoint, check_policy, check_weights};
pub use packing::PackedGroup;
pub use passes::{TokenLogprobs, Trace, TrainingPass};
pub use policy::{LoadOptions, Policy};
pub use session::{Continued, Paused, Session};
pub use shared::SharedWeights;
