//! The maths of group-relative policy optimization: advantages, the clipped objective, and its KL term.
//!
//! [GRPO](https://arxiv.org/abs/2402.03300) compares the completions of one prompt with each other instead of
//! with a learned value function. Tokens are packed without padding: every tensor here is `(N,)`, one number for
//! each completion token of the batch, and [`token_weights`] says how much each counts. Sums over micro-batches
//! are then the same as one sum over the batch.
//!
//! ```
//! let advantages = grpo::group_advantages(
//!     &[Some(3.0), Some(1.0), None, Some(2.0)],
//!     &config::AdvantageConfig::default(),
//! );
//! assert_eq!(advantages[2], 0.0); // not scored: neither better nor worse
//! assert!(advantages[0] > 0.0 && advantages[1] < 0.0);
//! ```

mod advantage;
mod loss;
mod token_weights;

pub use advantage::group_advantages;
pub use loss::{Loss, LossInputs, grpo_loss, sft_loss};
pub use token_weights::token_weights;
