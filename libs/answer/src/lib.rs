//! A policy in use: questions about pictures in, answers out, with what they found in pixels of the original picture.
//!
//! The node of a robot's graph, `vrft ask` and `vrft serve` share what is here: which checkpoint is meant ([`Target`]),
//! how it is asked ([`Answerer`]), how what it says is read ([`Found`]), and how a newer version takes its place between
//! two answers ([`Follower`]).
//!
//! ```no_run
//! use vrft_answer::{Answerer, Picture, Settings, Target};
//! # fn main() -> Result<(), vrft_answer::AnswerError> {
//! let target = Target::find("data/starter", "out/served".as_ref())?;
//! let answerer = Answerer::load(&Settings::default(), &target)?;
//! let picture = Picture::open("photo.jpg".as_ref())?;
//! let question = answerer.question("Where is the digit?", 1);
//! let answered = answerer.answer(&question, &[picture], 0)?;
//! println!("{}: {:?}", answered.version, answered.found);
//! # Ok(()) }
//! ```

mod answerer;
mod config;
mod contents;
mod draw;
mod error;
mod follow;
mod found;
mod picture;
mod target;
mod truth;

pub use answerer::{Answered, Answerer, AskCategory, Fresh, Settings, Watch};
pub use config::{AnswerConfig, Follow};
pub use draw::{draw, drawn_as};
pub use error::AnswerError;
pub use follow::{Follower, SettingsOf};
pub use found::{Found, Place, Reading};
pub use picture::Picture;
pub use target::{CURRENT, Target, promoted};
pub use truth::Truths;
