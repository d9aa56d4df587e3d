//! What a loss is computed from.

use candle_core::{Result, Tensor, bail};

use crate::config::{KlPlace, LossConfig};

use super::Entropy;

/// One number per completion token of the batch, all `(N,)` f32 on one device, completion after completion.
#[derive(Debug, Clone, Copy)]
pub struct LossInputs<'a> {
    /// Logprobs under the policy that learns; a gradient flows to them, and to the entropy.
    pub logprobs: &'a Tensor,
    /// Logprobs under the policy as it was before the first update from these completions.
    pub old_logprobs: &'a Tensor,
    /// Logprobs as the sampler computed them when it drew the tokens; the old ones if absent.
    pub sampler_logprobs: Option<&'a Tensor>,
    /// Logprobs under the reference policy; may be absent when the KL has no weight.
    pub ref_logprobs: Option<&'a Tensor>,
    /// Advantage of the completion that the token belongs to.
    pub advantages: &'a Tensor,
    /// How much the token counts, see [`crate::loss_weights`].
    pub token_weights: &'a Tensor,
    /// Tokens of each completion; they sum to N.
    pub lengths: &'a [usize],
    /// Entropies, where the configuration makes use of them.
    pub entropy: Option<Entropy<'a>>,
}

impl LossInputs<'_> {
    pub(super) fn check(&self, config: &LossConfig) -> Result<()> {
        let n_tokens = self.logprobs.dims1()?;
        same_length("old_logprobs", self.old_logprobs, n_tokens)?;
        same_length("advantages", self.advantages, n_tokens)?;
        same_length("token_weights", self.token_weights, n_tokens)?;
        let sum: usize = self.lengths.iter().sum();
        if sum != n_tokens {
            bail!("expected lengths that sum to {n_tokens} as logprobs, got {sum}")
        }
        if let Some(sampler) = self.sampler_logprobs {
            same_length("sampler_logprobs", sampler, n_tokens)?;
        }
        if config.masks.top_entropy < 1.0
            && self.entropy.is_none_or(|entropy| entropy.threshold.is_none())
        {
            bail!(
                "a share of {} of the tokens needs an entropy threshold, got none",
                config.masks.top_entropy
            )
        }
        if config.sampler_correction.is_some() && self.sampler_logprobs.is_none() {
            bail!("a correction for the sampler needs sampler_logprobs, got none")
        }
        match self.entropy {
            Some(entropy) => same_length("entropy", entropy.per_token, n_tokens)?,
            None if config.entropy_coef == 0.0 => {}
            None => bail!("an entropy weight of {} needs entropy, got none", config.entropy_coef),
        }
        match self.ref_logprobs {
            Some(reference) => same_length("ref_logprobs", reference, n_tokens),
            None if config.kl_coef == 0.0 || config.kl_in == KlPlace::Reward => Ok(()),
            None => bail!("a KL weight of {} needs ref_logprobs, got none", config.kl_coef),
        }
    }
}

pub(super) fn same_length(name: &str, tensor: &Tensor, n_tokens: usize) -> Result<()> {
    match tensor.dims() {
        [n] if *n == n_tokens => Ok(()),
        dims => bail!("expected {name} of shape [{n_tokens}] as logprobs, got {dims:?}"),
    }
}
