//! The objective of a reinforcement step as a loss over packed tokens, and the supervised baseline's.
//!
//! `Σ_t w_t · (mask_t · correction_t · surrogate_t + β · kl_t) - c · entropy`: each factor is a module of its own. To
//! add a surrogate, write its function and its settings beside the others in [`surrogate`] and
//! [`crate::config::Surrogate`], and name the paper in [`crate::config::Preset`].

mod correction;
mod distillation;
mod entropy;
mod imitation;
mod inputs;
mod kl;
mod masks;
mod ratio;
mod surrogate;

use candle_core::{Result, Tensor};

use crate::config::{KlPlace, LossConfig};

use self::ratio::{Sequences, importance_ratio, log_ratio};
use self::surrogate::{SurrogateInputs, TokenLoss};

pub use self::distillation::{Distillation, distillation_loss};
pub use self::entropy::{Entropy, entropy_threshold};
pub use self::imitation::imitation_loss;
pub use self::inputs::LossInputs;
pub use self::kl::kl_in_reward;

/// A loss and what to watch about it. All are scalars, and those of micro-batches add up.
#[derive(Debug, Clone)]
pub struct Loss {
    /// The loss that is to be minimized.
    pub loss: Tensor,
    /// Estimated KL to the reference policy, weighted by token; 0 without one. Without gradient.
    pub kl: Tensor,
    /// Share of tokens, weighted, whose ratio is clipped, and which therefore get no gradient from the advantage;
    /// `None` for objectives that never cut a gradient off.
    pub clip_fraction: Option<Tensor>,
    /// Share of tokens, weighted, in completions that are left out for being off-policy; `None` without that mask.
    pub off_policy_fraction: Option<Tensor>,
    /// The correction for the sampler, weighted by token; `None` without one.
    pub correction: Option<Tensor>,
}

/// `Σ_t w_t · (surrogate_t + β · kl_t) - c · entropy`, from the configured parts.
///
/// The default is GRPO, [DeepSeekMath](https://arxiv.org/abs/2402.03300), equations 3 and 4: the surrogate is
/// `-min(ratio · A, clip(ratio, 1 - ε, 1 + ε) · A)` with `ratio = exp(logprob - old_logprob)`, and the KL
/// `exp(ref - logprob) - (ref - logprob) - 1`, added after clipping. What is masked, and the correction for the
/// sampler, act on the surrogate alone, as in TRL.
///
/// # Errors
/// Tensors of different lengths, an input that the configuration needs and that is absent, or a tensor operation that
/// fails.
pub fn policy_loss(inputs: &LossInputs, config: &LossConfig) -> Result<Loss> {
    inputs.check(config)?;
    let weights = inputs.token_weights.detach(); // (N,)
    let sequences = Sequences::new(inputs.lengths, weights.device())?;
    let log_ratio = log_ratio(inputs.logprobs, &inputs.old_logprobs.detach())?; // (N,)
    let ratio = importance_ratio(config.ratio, inputs.logprobs, &log_ratio, &sequences)?; // (N,)
    let correction = correction::ratios(inputs, config, &sequences)?;
    let TokenLoss { mut loss, clipped, is_corrected } = surrogate::token_loss(
        &config.surrogate,
        &SurrogateInputs {
            logprobs: inputs.logprobs,
            log_ratio: &log_ratio,
            ratio: &ratio,
            advantages: &inputs.advantages.detach(),
            sequences: &sequences,
            correction: correction.as_ref(),
        },
    )?;
    let on_policy = masks::on_policy(inputs, &config.masks, &sequences)?;
    for mask in [on_policy.clone(), masks::high_entropy(inputs)?].iter().flatten() {
        loss = (loss * mask)?;
    }
    if let Some(correction) = correction.as_ref().filter(|_| !is_corrected) {
        loss = (loss * correction)?;
    }
    let mut loss = (&weights * loss)?.sum_all()?;
    let kl = match inputs.ref_logprobs {
        Some(reference) => {
            let kl = kl::per_token(inputs.logprobs, &reference.detach(), config, &ratio)?;
            (&weights * kl)?.sum_all()?
        }
        None => loss.zeros_like()?,
    };
    if config.kl_coef != 0.0 && config.kl_in == KlPlace::Loss {
        loss = (loss + (&kl * config.kl_coef)?)?;
    }
    if let Some(bonus) = entropy::bonus(inputs, config)? {
        loss = (loss - bonus)?;
    }
    let weighted =
        |values: Tensor| -> Result<Tensor> { Ok((&weights * values)?.sum_all()?.detach()) };
    Ok(Loss {
        loss,
        kl: kl.detach(),
        clip_fraction: clipped.map(weighted).transpose()?,
        off_policy_fraction: on_policy.map(|kept| weighted((1.0 - kept)?)).transpose()?,
        correction: correction.map(weighted).transpose()?,
    })
}

/// `-Σ_t w_t · logprob_t`: the negative log-likelihood of demonstrated tokens, the supervised baseline's loss.
///
/// # Errors
/// Tensors of different lengths, or a tensor operation that fails.
pub fn sft_loss(logprobs: &Tensor, token_weights: &Tensor) -> Result<Tensor> {
    inputs::same_length("token_weights", token_weights, logprobs.dims1()?)?;
    (logprobs * token_weights.detach())?.sum_all()?.neg()
}

/// 1 where the condition holds, else 0, without gradient.
fn indicator(condition: &Tensor, like: &Tensor) -> Result<Tensor> {
    condition.to_dtype(like.dtype())
}
