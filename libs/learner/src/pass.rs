//! A forward pass in training and its backward pass, through the loss that was computed from it.

use candle_core::{Result, Tensor, Var};
use vrft_kernels::Gradients;
use vrft_model::{PolicyError, TokenLogprobs, TrainingPass};

/// A forward pass with its tape, and the leaves of the loss's own small graph.
#[derive(Debug)]
pub(crate) struct Pass {
    recorded: TrainingPass,
    logprobs: Var,
    entropy: Var,
}

impl Pass {
    /// The pass, and its results as leaves that a loss is computed from.
    pub(crate) fn new(recorded: TrainingPass) -> Result<(Self, TokenLogprobs)> {
        let logprobs = Var::from_tensor(&recorded.tokens.logprobs)?;
        let entropy = Var::from_tensor(&recorded.tokens.entropy)?;
        let tokens = TokenLogprobs {
            logprobs: logprobs.as_tensor().clone(),
            entropy: entropy.as_tensor().clone(),
        };
        Ok((Self { recorded, logprobs, entropy }, tokens))
    }

    /// The backward pass from the loss to the variables; returns the gradients of the images that were encoded before.
    pub(crate) fn backward(
        self,
        loss: &Tensor,
        gradients: &mut Gradients,
    ) -> std::result::Result<Vec<Option<Tensor>>, PolicyError> {
        let store = loss.backward()?;
        let of_logprobs = match store.get(&self.logprobs) {
            Some(gradient) => gradient.clone(),
            None => self.logprobs.zeros_like()?,
        }; // (N,)
        self.recorded.backward(&of_logprobs, store.get(&self.entropy), gradients)
    }
}
