//! The maths of group-relative policy optimization: advantages, objectives, and what keeps them in bounds.
//!
//! [GRPO](https://arxiv.org/abs/2402.03300) compares the completions of one prompt with each other instead of
//! with a learned value function. Tokens are packed without padding: every tensor here is `(N,)`, one number for
//! each completion token of the batch, and `loss_weights` says how much each counts. Sums over micro-batches
//! are then the same as one sum over the batch.
//!
//! ```
//! let advantages = vrft_objective::group_advantages(
//!     &[Some(3.0), Some(1.0), None, Some(2.0)],
//!     &vrft_objective::config::AdvantageConfig::default(),
//! );
//! assert_eq!(advantages[2], 0.0); // not scored: neither better nor worse
//! assert!(advantages[0] > 0.0 && advantages[1] < 0.0);
//! ```

mod advantage;
pub mod config;
mod controller;
#[cfg(feature = "loss")]
mod loss;
mod off_policy;
mod visual;
mod weights;

pub use advantage::{Scored, ScoredGroup, ScoredTerm, advantages, group_advantages};
pub use controller::{EntropyController, KlController};
#[cfg(feature = "loss")]
pub use loss::{
    Distillation, Entropy, Loss, LossInputs, distillation_loss, entropy_threshold, imitation_loss,
    kl_in_reward, policy_loss, sft_loss,
};
pub use off_policy::effective_share;
pub use visual::visual_factors;
pub use weights::{
    CompletionFacts, UpdateCounts, demonstration_weights, loss_weights, token_weights,
};
