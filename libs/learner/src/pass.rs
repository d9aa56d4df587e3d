//! One forward pass in training and its backward pass, by way of the loss that is made of its results.

use candle_core::{Result, Tensor, Var};
use vrft_kernels::Gradients;
use vrft_model::{FeatureGradients, ModelError, TokenLogprobs, TrainingPass};

/// A forward pass with its tape, and the leaves of the loss's own small graph.
#[derive(Debug)]
pub(crate) struct Pass {
    recorded: TrainingPass,
    logprobs: Var,
    entropy: Var,
}

impl Pass {
    pub(crate) fn new(recorded: TrainingPass) -> Result<Self> {
        let logprobs = Var::from_tensor(&recorded.tokens.logprobs)?;
        let entropy = Var::from_tensor(&recorded.tokens.entropy)?;
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
        self.recorded.backward(&of_logprobs, store.get(&self.entropy), gradients)
    }
}
