//! Learning from a teacher that was told more, on the policy's own completions.

use candle_core::{Result, Tensor};

use super::inputs::same_length;

/// Importance ratios are cut here, as by default in TRL's SDFT and SDPO trainers.
const MAX_RATIO: f64 = 2.0;
/// Differences of logprobs are cut here before they become ratios, as there.
const MAX_LOG_RATIO: f64 = 20.0;

/// What a teacher says about the tokens of a micro-batch.
#[derive(Debug, Clone)]
pub struct Distillation {
    /// `Σ_t w_t · r_t · sg[log π - log π_T] · log π`, a scalar with a gradient to the logprobs.
    pub loss: Tensor,
    /// `Σ_t w_t · (log π - log π_T)`: the reverse KL to the teacher, without gradient.
    pub kl: Tensor,
}

/// The reverse KL from policy to teacher, estimated from the sampled tokens; see
/// [`crate::config::DistillationConfig`].
///
/// All four are (N,): logprobs under the policy that learns, with a gradient; under the policy that sampled; under the
/// teacher; and how much each token counts.
///
/// # Errors
/// Tensors of different lengths, or a tensor operation that fails.
pub fn distillation_loss(
    logprobs: &Tensor,
    old_logprobs: &Tensor,
    teacher_logprobs: &Tensor,
    weights: &Tensor,
) -> Result<Distillation> {
    let n_tokens = logprobs.dims1()?;
    same_length("old_logprobs", old_logprobs, n_tokens)?;
    same_length("teacher_logprobs", teacher_logprobs, n_tokens)?;
    same_length("weights", weights, n_tokens)?;
    let weights = weights.detach();
    let current = logprobs.detach();
    let log_ratio = (&current - old_logprobs.detach())?.clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)?;
    let ratio = log_ratio.exp()?.minimum(MAX_RATIO)?; // (N,)
    let apart = (&current - teacher_logprobs.detach())?; // (N,)
    let kl = (&weights * &apart)?.sum_all()?;
    let loss = (((weights * ratio)? * apart)? * logprobs)?.sum_all()?;
    Ok(Distillation { loss, kl })
}
