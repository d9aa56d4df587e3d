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
//! A task is declared once, in [`config::RewardConfig`]; from it come the [`instructions`] at the end of a question,
//! the strict and the tolerant reader of answers, the reward with its named terms, and what is measured on held-out
//! data. Everything here is pure: no I/O, no clock, no randomness, and no input makes it panic. Text that cannot be
//! read is a score; ground truth that cannot be read is an error.

mod accepted;
mod answer;
pub mod answers;
mod case;
pub mod config;
mod conversion;
mod correction;
mod error;
mod geometry;
mod infer;
mod instructions;
mod matching;
mod official;
mod reading;
mod rewards;
mod rng;
mod score;
mod selftest;
pub mod terms;
mod text;
mod truth;
mod writing;

pub use answer::{Answer, Detection, Item, Items};
pub use answers::Example;
pub use conversion::{Conversion, Turning};
pub use correction::{GAIN, Turns};
pub use error::{Flaw, RewardError};
pub use geometry::{
    BBox, Frame, Geometry, Mask, Place, SPACE, Solid, Space, Span, compress, decompress,
};
pub use infer::space::{Evidence, MixedSpaces, SpaceGuess, guess as guess_space, is_share};
pub use infer::{InferError, Proposal, count_sides, infer, infer_names, proposed_in, usual_reward};
pub use instructions::{instructions, prompt, visual_rft_question};
pub use matching::{Match, match_greedily};
pub use official::is_official_name;
pub use reading::{check_tags, read_answer, read_strictly, read_truth};
pub use rewards::Rewards;
pub use score::{Attempt, Reward, Score, Term};
pub use selftest::{Check, Report, self_test};
pub use text::edit::edit_similarity;
pub use text::extract::{answer_text, said_text, true_answer};
pub use text::names::same_label;
pub use truth::Truth;
pub use writing::Region;
