//! A forward in training and its way back, by way of the loss that was made of it.

use candle_core::{Result, Tensor, Var};
use vrft_kernels::Gradients;
use vrft_model::{PolicyError, TokenLogprobs, TrainingPass};

/// A recorded forward, and the leaves of the loss's own small graph.
#[derive(Debug)]
pub(crate) struct Pass {
    recorded: TrainingPass,
    logprobs: Var,
    entropy: Var,
}

impl Pass {
    /// The pass, and its results as what a loss is made of.
    pub(crate) fn new(recorded: TrainingPass) -> Result<(Self, TokenLogprobs)> {
        let logprobs = Var::from_tensor(&recorded.tokens.logprobs)?;
        let entropy = Var::from_tensor(&recorded.tokens.entropy)?;
        let tokens = TokenLogprobs {
            logprobs: logprobs.as_tensor().clone(),
            entropy: entropy.as_tensor().clone(),
        };
        Ok((Self { recorded, logprobs, entropy }, tokens))
    }

    /// Takes the loss's gradient back to the variables; returns that of the images which were seen before.
    pub(crate) fn backward(
        self,
        loss: &Tensor,
        gradients: &mut Gradients,
    ) -> std::result::Result<Vec<Option<Tensor>>, PolicyError> {
        let store = loss.backward()?;
        let of = |leaf: &Var| match store.get(leaf) {
            Some(gradient) => Ok(gradient.clone()),
            None => leaf.zeros_like(),
        };
        let gradient = Tensor::stack(&[of(&self.logprobs)?, of(&self.entropy)?], 1)?; // (N, 2)
        self.recorded.backward(&gradient, gradients)
    }
}
