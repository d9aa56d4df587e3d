//! The policy as a whole: against transformers, against itself, and as files.

mod checkpoint;
mod fixture;
mod session;
mod sharing;
mod transformers;
