//! What can go wrong with a checkpoint or a forward pass.

/// A checkpoint that cannot be used, or an input that the model cannot take.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A file of the checkpoint cannot be used.
    #[error(transparent)]
    Checkpoint(#[from] vrft_checkpoint::CheckpointError),
    /// Tensors that the model needs and the weights do not have.
    #[error("missing {} of {expected} tensors: {}", names.len(), listed(names))]
    MissingTensors {
        /// The absent names.
        names: Vec<String>,
        /// How many the model has.
        expected: usize,
    },
    /// Tensors that the weights have and the model does not know.
    #[error("{} unexpected tensors: {}", names.len(), listed(names))]
    UnexpectedTensors {
        /// The unknown names.
        names: Vec<String>,
    },
    /// A device that the program was not built for, or that the machine does not have.
    #[error("{key} = \"{device}\": {reason}")]
    Device {
        /// The key of the configuration that names it.
        key: &'static str,
        /// Name of the tensor.
        device: vrft_plan::Device,
        /// Why it cannot be used.
        reason: String,
    },
    /// A tensor of the wrong shape.
    #[error("tensor {name} should have shape {expected:?}, got {got:?}")]
    Shape {
        /// Name in the checkpoint.
        name: String,
        /// Shape that the configuration asks for.
        expected: Vec<usize>,
        /// Shape found.
        got: Vec<usize>,
    },
    /// A prompt, completion or call that does not fit the model.
    #[error("{what} should be {expected}, got {got}")]
    Input {
        /// Which input, by index where there are several.
        what: String,
        /// What would be accepted.
        expected: String,
        /// What came.
        got: String,
    },
    /// A picture that cannot be attacked.
    #[error("{0}; leave the attack out for this policy")]
    Attack(vrft_vision::VisionError),
    /// A tensor operation failed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

impl ModelError {
    /// That weights are asked to be trained which are kept in 4 bits.
    pub(crate) fn not_trained_in_four_bits() -> Self {
        let expected = "above 0, since weights of 4 bits are not trained themselves";
        Self::input("policy.lora.rank", expected, 0)
    }

    pub(crate) fn input(
        what: impl Into<String>,
        expected: impl ToString,
        got: impl ToString,
    ) -> Self {
        Self::Input { what: what.into(), expected: expected.to_string(), got: got.to_string() }
    }
}

/// The first few of many names: enough to see the pattern.
pub(crate) fn listed(names: &[String]) -> String {
    const SHOWN: usize = 4;
    let mut text = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text += ", …";
    }
    text
}
