//! The files of a model: where they are, which tensors they hold, and what their JSON settings say.
//!
//! It reads and writes the Hugging Face layout (`config.json`, safetensors in one file or in several, `peft`
//! adapters) and finds models in the cache of the hub. It knows formats, and neither a tensor library nor a model:
//! a program that only needs settings links it at no cost. Nothing is ever unpickled. The section `[policy]` of the
//! configuration, which says where a run starts from, is here too.
//!
//! ```
//! # fn main() -> Result<(), vrft_checkpoint::CheckpointError> {
//! let config = vrft_checkpoint::JsonFile::parse("config.json", r#"{"text_config": {"hidden_size": "wide"}}"#)?;
//! let error = config.keys().section("text_config").size("hidden_size").unwrap_err();
//! assert_eq!(
//!     error.to_string(),
//!     "config.json: text_config.hidden_size should be a positive integer, got \"wide\""
//! );
//! # Ok(()) }
//! ```

mod adapter;
mod config;
mod directory;
mod error;
mod hub;
mod keys;
mod manifest;
mod nf4;
mod stead;
mod tensors;

pub use adapter::{Adapter, FACTORS, SOFT_PROMPT, is_adapter, model_dir, names_module};
pub use config::{
    ALL_LINEAR, Dtype, LoraConfig, PolicyConfig, PromptTuningConfig, Quantization, TargetModules,
};
pub use directory::{
    Transfer, config, read_text, transfer, write_checkpoint, write_nf4_checkpoint,
};
pub use error::CheckpointError;
pub use hub::{checkpoint_dir, local_checkpoint_dir, vision_model_dir};
pub use keys::{JsonFile, Keys, MAX_SIZE};
pub use manifest::{Manifest, verify};
pub use nf4::{Nf4FactorsView, Nf4View, nf4_state};
pub use safetensors::tensor::{Dtype as StoredDtype, TensorView, View};
pub use stead::refuse_pointer;
pub use tensors::{TensorFiles, write_tensors};
