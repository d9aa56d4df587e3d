//! Verifiable rewards: the text of an answer in, a number and the terms it is made of out.
//!
//! ```
//! let reward = vrft_reward::Reward::new(&vrft_reward::config::RewardConfig::default());
//! let truth = reward.parse_answer("<answer>[{'Position': [100, 100, 300, 300]}]</answer>")?;
//! let score = reward.score(
//!     "<think>one cat</think><answer>[{'Position': [100, 100, 300, 300], 'Confidence': 1}]</answer>",
//!     &truth,
//! );
//! assert_eq!(score.total, Some(3.0)); // IoU 1, confidence 1, format 1
//! # Ok::<(), vrft_reward::RewardError>(())
//! ```
//! A task is declared once, in [`crate::config::RewardConfig`]; from it come the [`instructions`] at the end of a question,
//! the strict and the tolerant reader of answers, the reward with its named terms, and what is measured on held-out
//! data. Everything here is pure: no I/O, no clock, no randomness, and no input makes it panic. Text that cannot be
//! read is a score; ground truth that cannot be read is an error.

mod answer;
mod average_precision;
mod bbox;
mod case;
pub mod config;
mod correction;
mod detection;
mod edit;
mod error;
mod extract;
mod format;
mod hungarian;
mod infer;
mod instructions;
mod item;
mod json;
mod label;
mod mask;
mod matching;
mod official;
mod place;
mod plain;
mod render;
mod rewards;
mod rng;
mod runs;
mod score;
mod selftest;
mod solid;
mod span;
mod strict;
mod terms;
mod tolerant;
mod truth;
mod value;

pub use answer::{Answer, Items};
pub use average_precision::{
    IOU_THRESHOLDS, MAX_DETECTIONS, RankedImage, at_threshold, over_thresholds,
};
pub use bbox::{BBox, SPACE};
pub use correction::Turns;
pub use detection::Detection;
pub use edit::edit_similarity;
pub use error::{Flaw, RewardError};
pub use extract::answer_text;
pub use infer::{InferError, Proposal, infer};
pub use instructions::{instructions, prompt};
pub use label::same_label;
pub use mask::Mask;
pub use matching::{Match, match_greedily};
pub use place::{Item, Place};
pub use rewards::Rewards;
pub use runs::{compress, decompress};
pub use score::{Attempt, Reward, Score, Term};
pub use selftest::{Check, Report, self_test};
pub use solid::Solid;
pub use span::Span;
pub use strict::read_strictly;
pub use tolerant::read_answer;
pub use truth::{Truth, read_truth};
