//! What a forward pass gives, and the backward pass from it.

use candle_core::Tensor;
use vrft_kernels::{Activation, Gradients, Tape};

use crate::ModelError;
use crate::encoded_images::FeatureGradients;

/// Outputs of the model's blocks for one prompt.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    /// (patches, width) after each block of the tower, in the order in which that tower computes.
    pub vision: Vec<Tensor>,
    /// (tokens, hidden_size) after each decoder layer.
    pub text: Vec<Tensor>,
    /// (tokens, vocabulary) f32.
    pub logits: Option<Tensor>,
}

/// Logprobs of completion tokens, all completions of all groups one after the other. They have no gradient by
/// themselves: [`TrainingPass::backward`] takes one.
#[derive(Debug, Clone)]
pub struct TokenLogprobs {
    /// (N,) f32.
    pub logprobs: Tensor,
    /// (N,) f32, entropy of the distribution at each of these tokens, in nats.
    pub entropy: Tensor,
}

impl TokenLogprobs {
    /// The logprobs as numbers, fetched from their device.
    ///
    /// # Errors
    /// A device that fails.
    pub fn numbers(&self) -> Result<Vec<f32>, ModelError> {
        Ok(self.logprobs.to_device(&candle_core::Device::Cpu)?.to_vec1()?)
    }

    pub(crate) fn detached(results: &vrft_kernels::TokenLogprobs) -> Self {
        Self { logprobs: results.logprobs.detach(), entropy: results.entropy.detach() }
    }
}

/// A forward pass with the tape for its backward pass.
#[derive(Debug)]
pub struct TrainingPass {
    /// Log-probabilities of the completion tokens.
    pub tokens: TokenLogprobs,
    pub(crate) results: vrft_kernels::TokenLogprobs,
    pub(crate) tape: Tape,
    /// The features of the [`EncodedImages`] that the pass was given.
    pub(crate) features: Vec<Vec<Activation>>,
}

impl TrainingPass {
    /// The backward pass from the gradients of the logprobs and of the entropies, each (N,): adds the gradients of the
    /// variables to `gradients`, and returns those of the features of each of the [`EncodedImages`] that the pass was
    /// given.
    ///
    /// # Errors
    /// A gradient of another length.
    pub fn backward(
        self,
        of_logprobs: &Tensor,
        of_entropy: Option<&Tensor>,
        gradients: &mut Gradients,
    ) -> Result<Vec<FeatureGradients>, ModelError> {
        let mut results = vec![(&self.results.logprobs, of_logprobs.clone())];
        results.extend(of_entropy.map(|gradient| (&self.results.entropy, gradient.clone())));
        let features: Vec<&Activation> = self.features.iter().flatten().collect();
        let mut found = self.tape.backward(&results, &features, gradients)?.into_iter();
        let of_images = |features: &Vec<Activation>| {
            FeatureGradients(found.by_ref().take(features.len()).collect())
        };
        Ok(self.features.iter().map(of_images).collect())
    }
}
