//! Weights cross from a learner to a rollout over loopback, whole or not at all, and only to whom they should.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod fixture;
mod plain;
mod secured;
