//! The checkpoint that a run starts from.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Which policy to load and which of its parts to train.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PolicyConfig {
    /// Checkpoint directory in the Hugging Face layout.
    pub path: PathBuf,
    /// Type to compute in; the loss and the optimizer stay in f32.
    pub dtype: Dtype,
    /// Leave the vision tower as it is and train the language model alone.
    pub freeze_vision: bool,
    /// System turn before every question; empty for none.
    pub system: String,
}

/// A floating-point type of the model's computation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// 32-bit floats.
    F32,
    /// bfloat16: 8 bits of exponent, 7 of mantissa.
    Bf16,
}

impl Default for PolicyConfig {
    fn default() -> Self {
        Self {
            path: "data/starter".into(),
            dtype: Dtype::F32,
            freeze_vision: false,
            system: String::new(),
        }
    }
}
