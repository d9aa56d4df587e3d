//! The GRPO objective as a loss over packed tokens, and the supervised baseline's.

use candle_core::{Result, Tensor, bail};
use config::LossConfig;

/// Log-ratios are held within ± this, so that no ratio overflows f32: inf times an advantage of 0 would be NaN.
/// The bound is verl's; a token that reaches it has long been clipped.
const MAX_LOG_RATIO: f64 = 20.0;

/// One number per completion token of the batch, all `(N,)` f32 on one device.
#[derive(Debug, Clone, Copy)]
pub struct LossInputs<'a> {
    /// Of the policy that learns; the only input that a gradient flows to.
    pub logprobs: &'a Tensor,
    /// Of the policy that sampled the tokens.
    pub old_logprobs: &'a Tensor,
    /// Of the reference policy; may be absent when the KL has no weight.
    pub ref_logprobs: Option<&'a Tensor>,
    /// Advantage of the completion that the token belongs to.
    pub advantages: &'a Tensor,
    /// How much the token counts, see [`crate::token_weights`].
    pub token_weights: &'a Tensor,
}

/// A loss and what to watch about it. All are scalars and weighted by token, so those of micro-batches add up.
#[derive(Debug, Clone)]
pub struct Loss {
    /// To be minimized.
    pub loss: Tensor,
    /// Estimated KL to the reference policy; 0 without one. Without gradient.
    pub kl: Tensor,
    /// Share of tokens whose ratio is clipped, and which therefore get no gradient from the advantage.
    pub clip_fraction: Tensor,
}

/// `Σ_t w_t · (-min(ratio · A, clip(ratio, 1 - ε, 1 + ε) · A) + β · k3)` with `ratio = exp(logprob - old_logprob)`
/// and `k3 = exp(ref - logprob) - (ref - logprob) - 1`.
///
/// [DeepSeekMath](https://arxiv.org/abs/2402.03300), equations 3 and 4: the KL is added after clipping.
///
/// # Errors
/// Tensors of different lengths, no reference logprobs although the KL has a weight, or what candle says.
pub fn grpo_loss(inputs: &LossInputs, config: &LossConfig) -> Result<Loss> {
    check(inputs, config)?;
    let weights = inputs.token_weights.detach(); // (N,)
    let advantages = inputs.advantages.detach(); // (N,)
    let ratio = log_ratio(inputs.logprobs, &inputs.old_logprobs.detach())?.exp()?; // (N,)
    let (low, high) = (1.0 - config.clip_epsilon, 1.0 + config.clip_epsilon);
    let unclipped = (&ratio * &advantages)?; // (N,)
    let clipped = (ratio.clamp(low, high)? * &advantages)?; // (N,)
    let surrogate = unclipped.minimum(&clipped)?; // (N,)
    let is_clipped = clipped.lt(&unclipped)?.to_dtype(weights.dtype())?; // (N,)
    let mut loss = (&weights * surrogate.neg()?)?.sum_all()?;
    let kl = match inputs.ref_logprobs {
        Some(reference) => (&weights * k3(inputs.logprobs, &reference.detach())?)?.sum_all()?,
        None => loss.zeros_like()?,
    };
    if config.kl_coef != 0.0 {
        loss = (loss + (&kl * config.kl_coef)?)?;
    }
    let clip_fraction = (&weights * is_clipped)?.sum_all()?;
    Ok(Loss { loss, kl: kl.detach(), clip_fraction: clip_fraction.detach() })
}

/// `-Σ_t w_t · logprob_t`: the negative log-likelihood of demonstrated tokens.
///
/// # Errors
/// Tensors of different lengths, or what candle says.
pub fn sft_loss(logprobs: &Tensor, token_weights: &Tensor) -> Result<Tensor> {
    same_length("token_weights", token_weights, logprobs.dims1()?)?;
    (logprobs * token_weights.detach())?.sum_all()?.neg()
}

/// Schulman's low-variance estimate of KL(policy ‖ reference) per token: never negative, 0 where both agree.
fn k3(logprobs: &Tensor, ref_logprobs: &Tensor) -> Result<Tensor> {
    let log_ratio = log_ratio(ref_logprobs, logprobs)?; // (N,)
    (log_ratio.exp()? - &log_ratio)? - 1.0
}

fn log_ratio(logprobs: &Tensor, other: &Tensor) -> Result<Tensor> {
    (logprobs - other)?.clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)
}

fn check(inputs: &LossInputs, config: &LossConfig) -> Result<()> {
    let n_tokens = inputs.logprobs.dims1()?;
    same_length("old_logprobs", inputs.old_logprobs, n_tokens)?;
    same_length("advantages", inputs.advantages, n_tokens)?;
    same_length("token_weights", inputs.token_weights, n_tokens)?;
    match inputs.ref_logprobs {
        Some(reference) => same_length("ref_logprobs", reference, n_tokens),
        None if config.kl_coef == 0.0 => Ok(()),
        None => bail!("a KL weight of {} needs ref_logprobs, got none", config.kl_coef),
    }
}

fn same_length(name: &str, tensor: &Tensor, n_tokens: usize) -> Result<()> {
    match tensor.dims() {
        [n] if *n == n_tokens => Ok(()),
        dims => bail!("expected {name} of shape [{n_tokens}] as logprobs, got {dims:?}"),
    }
}
