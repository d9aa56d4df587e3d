//! Verifiable rewards: the text of an answer in, a number and the terms it is made of out.
//!
//! ```
//! let reward = reward::Reward::new(&config::RewardConfig::default());
//! let truth = reward.parse_answer("<answer>[{'Position': [100, 100, 300, 300]}]</answer>")?;
//! let score = reward.score(
//!     "<think>one cat</think><answer>[{'Position': [100, 100, 300, 300], 'Confidence': 1}]</answer>",
//!     &truth,
//! );
//! assert_eq!(score.total, Some(3.0)); // IoU 1, confidence 1, format 1
//! # Ok::<(), reward::RewardError>(())
//! ```
//! Everything here is pure: no I/O, no clock, no randomness, and no input makes it panic. Text that cannot be
//! read is a score; ground truth that cannot be read is an error.

mod answer;
mod bbox;
mod classification;
mod detection;
mod error;
mod extract;
mod format;
mod matching;
mod parse;
mod score;
mod value;

pub use answer::Answer;
pub use bbox::{BBox, SPACE};
pub use classification::same_label;
pub use error::{Flaw, RewardError};
pub use extract::answer_text;
pub use matching::{Match, match_greedily};
pub use parse::{Detection, Reading, parse_detections, read_detections};
pub use score::{Reward, Score, Term};
