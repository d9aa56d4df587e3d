//! From a camera's frames to questions: which frames are kept, and what can be asked without a label.
//!
//! ```
//! use vrft_stream::{Curator, RawFrame, Verdict};
//! let mut curator = Curator::new(&vrft_stream::StreamConfig::default(), 0);
//! let black = RawFrame { bytes: &[0; 300 * 200 * 3], encoding: "bgr8", width: 300, height: 200 };
//! assert_eq!(curator.offer("frame-0", &black, 0.0), Verdict::Dropped(vrft_stream::Reason::Exposure));
//! ```
//! Memory is bounded by the configuration, whatever the stream does: stop, restart, change its resolution or
//! send garbage. No clock and no file is read here, except in [`Journal`], which only appends.

mod answer_remark;
mod config;
mod counters;
mod curator;
mod error;
mod feedback;
mod fingerprint;
mod frame;
mod journal;
mod labels;
mod planar;
mod puzzle;
mod quality;
mod reservoir;
#[cfg(test)]
mod testing;

pub use answer_remark::{AnswerRemark, Said};
pub use config::{PuzzleKind, StreamConfig, Truth};
pub use counters::{Counters, Reason};
pub use curator::{Curator, Verdict};
pub use error::StreamError;
pub use feedback::{Effect, Feedback, Remark, Remarked, Right};
pub use fingerprint::{Fingerprint, Ring};
pub use frame::{Frame, RawFrame, is_file, shrink};
pub use journal::Journal;
pub use labels::{Label, Labels};
pub use puzzle::{N_CHOICES, Puzzle, Sizes, make, make_by_seed};
pub use quality::{Quality, quality};
pub use reservoir::Reservoir;
