//! The learner on the tiny checkpoint: its steps, its checkpoints, and what happens when one of them breaks.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod checkpoints;
mod composed;
mod damage;
mod distance;
mod fixture;
mod objectives;
mod optimizer_state;
mod resume;
mod sampler;
mod second_look;
mod steps;
mod truth;
mod tuning;
mod turns;
