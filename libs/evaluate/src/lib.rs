//! How good answers are on held-out images: average precision, mean IoU, accuracy, each with what it counts.
//!
//! ```
//! let config = vrft_reward::config::RewardConfig::default();
//! let truth = vrft_reward::Reward::new(&config).parse_answer("[{'Position': [0, 0, 100, 100]}]")?;
//! let mut evaluator = vrft_evaluate::Evaluator::new(&config);
//! evaluator.add("<answer>[{'Position': [0, 0, 100, 80], 'Confidence': 0.9}]</answer>", &truth);
//! let evaluation = evaluator.finish();
//! assert!((evaluation.metrics["miou"] - 0.8).abs() < 1e-12);
//! # Ok::<(), vrft_reward::RewardError>(())
//! ```

mod constant;
mod detection;
mod evaluator;
mod existence;
mod judge;
mod off_policy;
mod precision;
mod turns;

pub use constant::best_constant;
pub use detection::{DetectionEvaluator, DetectionReport, Subject};
pub use evaluator::{Evaluation, Evaluator};
pub use judge::{
    Judge, JudgeConfig, JudgeError, Judgment, LEADING_MEASURES, Prediction, Summary,
    leading_measure,
};
pub use off_policy::{
    LoggedAnswer, LoggedQuestion, OffPolicyError, OffPolicyEstimate, check_estimate,
    estimate as estimate_off_policy,
};
