//! The part of a loss that the advantage acts on; each surrogate is a function in a file of its own.

mod awr;
mod cispo;
mod clip;
mod sapo;
mod vespo;

use candle_core::{Result, Tensor};

use crate::config::Surrogate;

use super::ratio::Sequences;

/// What a surrogate is made of; every tensor is `(N,)`.
pub(super) struct SurrogateInputs<'a> {
    pub(super) logprobs: &'a Tensor,
    /// `logprob - old_logprob` of each token, with gradient.
    pub(super) log_ratio: &'a Tensor,
    /// The importance ratio as configured, with gradient.
    pub(super) ratio: &'a Tensor,
    /// Advantage of each token, without a gradient.
    pub(super) advantages: &'a Tensor,
    pub(super) sequences: &'a Sequences,
    /// The correction for the sampler, without gradient.
    pub(super) correction: Option<&'a Tensor>,
}

/// The loss of each token before it is masked and weighed.
pub(super) struct TokenLoss {
    /// (N,): to be minimized.
    pub(super) loss: Tensor,
    /// (N,): 1 for tokens that clipping leaves without a gradient; `None` where no gradient is ever cut off.
    pub(super) clipped: Option<Tensor>,
    /// Whether the correction for the sampler is in the loss already.
    pub(super) is_corrected: bool,
}

/// The loss of each token by the configured surrogate.
pub(super) fn token_loss(surrogate: &Surrogate, inputs: &SurrogateInputs<'_>) -> Result<TokenLoss> {
    match surrogate {
        Surrogate::Clip(config) => clip::token_loss(inputs, config),
        Surrogate::Cispo(config) => cispo::token_loss(inputs, config),
        Surrogate::Sapo(config) => sapo::token_loss(inputs, config),
        Surrogate::Vespo(config) => vespo::token_loss(inputs, config),
        Surrogate::Awr(config) => awr::token_loss(inputs, config),
    }
}
