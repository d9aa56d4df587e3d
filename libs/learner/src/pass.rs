//! One forward pass in training and its backward pass, by way of the loss that is made of its results.

use candle_core::{Device, Result, Tensor, Var};
use vrft_kernels::Gradients;
use vrft_model::{FeatureGradients, ModelError, TokenLogprobs, TrainingPass};

/// A forward pass with its tape, and the leaves of the loss's own small graph. The loss is made in main memory: a few
/// numbers for each token, which on a GPU would be hundreds of launches.
#[derive(Debug)]
pub(crate) struct Pass {
    recorded: TrainingPass,
    logprobs: Var,
    entropy: Var,
}

impl Pass {
    pub(crate) fn new(recorded: TrainingPass) -> Result<Self> {
        let logprobs = Var::from_tensor(&recorded.tokens.logprobs.to_device(&Device::Cpu)?)?;
        let entropy = Var::from_tensor(&recorded.tokens.entropy.to_device(&Device::Cpu)?)?;
        Ok(Self { recorded, logprobs, entropy })
    }

    /// The results of the pass, as what a loss is made of.
    pub(crate) fn tokens(&self) -> TokenLogprobs {
        TokenLogprobs {
            logprobs: self.logprobs.as_tensor().clone(),
            entropy: self.entropy.as_tensor().clone(),
        }
    }

    /// Adds the gradient of a loss that was made of [`Pass::tokens`] to those of the variables; returns that of the
    /// image features which the pass was given.
    pub(crate) fn backward(
        self,
        loss: &Tensor,
        gradients: &mut Gradients,
    ) -> std::result::Result<Vec<FeatureGradients>, ModelError> {
        let store = loss.backward()?;
        let of_logprobs = match store.get(&self.logprobs) {
            Some(gradient) => gradient.clone(),
            None => self.logprobs.zeros_like()?,
        }; // (N,)
        let device = self.recorded.tokens.logprobs.device().clone();
        let of_entropy = store.get(&self.entropy).map(|gradient| gradient.to_device(&device));
        let of_entropy = of_entropy.transpose()?;
        self.recorded.backward(&of_logprobs.to_device(&device)?, of_entropy.as_ref(), gradients)
    }
}
