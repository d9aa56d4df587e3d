//! The objectives as losses over packed tokens, and the supervised baseline's.

mod bnpo;
mod cispo;
mod clip;
mod correction;
mod dapo;
mod dr_grpo;
mod entropy;
mod gspo;
mod gspo_token;
mod inputs;
mod kl;
mod luspo;
mod off_policy;
mod policy;
mod sapo;
mod sequences;
mod sft;
mod token_weights;
mod vespo;

use crate::config::{KlPlace, LossConfig};
use candle_core::{Result, Tensor};

pub use self::entropy::{Entropy, entropy_threshold};
pub use self::inputs::LossInputs;
pub use self::kl::kl_in_reward;
pub use self::sft::sft_loss;
pub use self::token_weights::{loss_weights, token_weights};

use self::policy::Surrogate;
use self::sequences::Sequences;

/// Log-ratios are held within ± this, so that no ratio overflows f32: inf times an advantage of 0 would be NaN.
/// The bound is verl's; a token that reaches it has long been clipped.
const MAX_LOG_RATIO: f64 = 20.0;

/// A loss and what to watch about it. All are scalars, and those of micro-batches add up.
#[derive(Debug, Clone)]
pub struct Loss {
    /// To be minimized.
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

/// `Σ_t w_t · (-surrogate_t + β · kl_t) - c · entropy`, with the surrogate of the configured type.
///
/// The default is GRPO, [DeepSeekMath](https://arxiv.org/abs/2402.03300), equations 3 and 4: the surrogate is
/// `min(ratio · A, clip(ratio, 1 - ε, 1 + ε) · A)` with `ratio = exp(logprob - old_logprob)`, and the KL
/// `exp(ref - logprob) - (ref - logprob) - 1`, added after clipping. What is masked, and the correction for the
/// sampler, act on the surrogate alone, as in TRL.
///
/// # Errors
/// Tensors of different lengths, an input that the configuration needs and that is absent, or what candle says.
pub fn policy_loss(inputs: &LossInputs, config: &LossConfig) -> Result<Loss> {
    inputs.check(config)?;
    let weights = inputs.token_weights.detach(); // (N,)
    let sequences = Sequences::new(inputs.lengths, weights.device())?;
    let correction = correction::ratios(inputs, config, &sequences)?;
    let Surrogate { mut loss, ratio, clipped } =
        policy::surrogate(inputs, config, &sequences, correction.as_ref())?;
    let kept = off_policy::kept(inputs, config, &sequences)?;
    let masks = [kept.clone(), entropy::mask(inputs)?];
    for mask in masks.iter().flatten() {
        loss = (loss * mask)?;
    }
    if let Some(correction) = correction.as_ref().filter(|_| !policy::corrects_itself(config)) {
        loss = (loss * correction)?;
    }
    let mut loss = (&weights * loss)?.sum_all()?;
    let kl = match inputs.ref_logprobs {
        Some(reference) => {
            let kl = kl::per_token(inputs.logprobs, &reference.detach(), config, ratio.as_ref())?;
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
        off_policy_fraction: kept.map(|kept| weighted((1.0 - kept)?)).transpose()?,
        correction: correction.map(weighted).transpose()?,
    })
}

/// Difference of logprobs, held where its exponential is finite.
fn log_ratio(logprobs: &Tensor, other: &Tensor) -> Result<Tensor> {
    (logprobs - other)?.clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)
}

/// 1 where the condition holds, else 0, without gradient.
fn indicator(condition: &Tensor, like: &Tensor) -> Result<Tensor> {
    condition.to_dtype(like.dtype())
}
