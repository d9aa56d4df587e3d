//! DAPO's soft punishment of completions that come near the longest length allowed.

use crate::config::OverlongConfig;

/// 0 up to `max_tokens - cushion`, from there linearly down to `-penalty` at `max_tokens`.
///
/// [DAPO](https://arxiv.org/abs/2503.14476), equation 13.
pub(super) fn penalty(n_tokens: usize, max_tokens: usize, config: &OverlongConfig) -> f64 {
    let free = max_tokens.saturating_sub(config.cushion);
    let over = n_tokens.saturating_sub(free).min(config.cushion);
    -f64::from(config.penalty) * over as f64 / config.cushion as f64
}
